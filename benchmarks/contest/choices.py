"""What a run chooses about its adapter, in the terms of `sktuning`."""

from dataclasses import replace

from label_texts import as_prompt

from contest.methods import adapter_method
from contest.run import Run
from contest.variants import VARIANTS
from sktuning.config import AdapterSpec, TrainingConfig


def spec_of(run: Run, given: TrainingConfig) -> AdapterSpec:
    """The product's own choices but for `given`, the run's method and what its variant changes."""
    variant = VARIANTS[run.variant]
    training = replace(given, **variant.training)
    spec = AdapterSpec(method=adapter_method(run.method), training=training, **variant.spec)
    return replace(spec, prompt_text=as_prompt(run.dataset)) if variant.describes else spec
