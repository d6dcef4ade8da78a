"""From a method's name to its contender: the one place that tells methods apart."""

from collections.abc import Callable, Mapping

from peft import (
    LoraConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
)

from contest import rates
from contest.bodies import SemanticBody, StockBody
from contest.contender import Contender, Headed
from contest.own_head import OwnHead
from contest.stage import Stage
from contest.virtual import VirtualBody
from sktuning.config import Method

RANK = 8
ALPHA = 16  # twice the rank, as is customary; PEFT's own default says only what was first


def adapter_method(method: str) -> Method:
    """Whose configuration the run takes: the words of the prompt are the same for both."""
    return Method.SK_PROMPT if method == rates.SK_PROMPT else Method.SK_PREFIX


def build(method: str, stage: Stage) -> Contender:
    """The contender, untrained. PEFT's choices are its defaults wherever none is named."""
    return _CONTENDERS[method](stage)


def _semantic(stage: Stage) -> Contender:
    return Headed(SemanticBody(stage), stage)


def _frozen(stage: Stage) -> Contender:
    return Headed(StockBody(stage.stock(), stage), stage)


def _full(stage: Stage) -> Contender:
    model = stage.stock().float().requires_grad_(True)
    return Headed(StockBody(model, stage, model.state_dict, is_whole=True), stage)


def _lora(stage: Stage) -> Contender:
    # without names PEFT takes the family's query and value projections
    peft = get_peft_model(stage.stock(), LoraConfig(r=RANK, lora_alpha=ALPHA))
    return Headed(StockBody(peft, stage, lambda: get_peft_model_state_dict(peft)), stage)


def _prefix(stage: Stage) -> Contender:
    return Headed(VirtualBody(stage, PrefixTuningConfig(num_virtual_tokens=_count(stage))), stage)


def _prompt(stage: Stage) -> Contender:
    return Headed(VirtualBody(stage, PromptTuningConfig(num_virtual_tokens=_count(stage))), stage)


def _prompt_from_words(stage: Stage) -> Contender:
    body = VirtualBody(stage, PromptTuningConfig(num_virtual_tokens=_count(stage)))
    body.start_from(stage.semantics.embeds)
    return Headed(body, stage)


def _p_tuning(stage: Stage) -> Contender:
    return Headed(VirtualBody(stage, PromptEncoderConfig(num_virtual_tokens=_count(stage))), stage)


def _count(stage: Stage) -> int:
    """Every prompt method has as many virtual tokens as the SK prompt has words."""
    return stage.config.num_virtual_tokens


_CONTENDERS: Mapping[str, Callable[[Stage], Contender]] = {
    rates.SK_PREFIX: _semantic,
    rates.SK_PROMPT: _semantic,
    rates.PREFIX: _prefix,
    rates.PROMPT: _prompt,
    rates.PROMPT_WORDS: _prompt_from_words,
    rates.P_TUNING: _p_tuning,
    rates.LORA: _lora,
    rates.OWN_HEAD: OwnHead,
    rates.LOGISTIC: _frozen,
    rates.FULL: _full,
}
