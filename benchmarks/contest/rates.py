"""The methods of the contest, and the learning rates that each of them tries.

Three rates a method, a factor of about two or three apart, around what is customary for it, and
nothing else is tuned. Training is short here, which asks for the upper half of what is customary.
Where the best rate lies at the end of its three, the report says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SK_PREFIX, SK_PROMPT = "sk-prefix", "sk-prompt"
PREFIX, PROMPT, P_TUNING, LORA = "prefix-tuning", "prompt-tuning", "p-tuning", "lora"
PROMPT_WORDS, OWN_HEAD = "prompt-tuning-words", "prefix-tuning-own-head"
LOGISTIC, FULL = "logistic", "full"


@dataclass(frozen=True, slots=True)
class Entrant:
    """A method as the contest lists it.

    Attributes:
        title: for people.
        rates: learning rates to try; none: the method has nothing but the head to fit.
        epochs: over the training rows; None: as many as the others.
    """

    title: str
    rates: tuple[float, ...]
    epochs: int | None = None

    @property
    def customary(self) -> float:
        """The rate in the middle."""
        return self.rates[len(self.rates) // 2] if self.rates else 0.0


ENTRANTS: Mapping[str, Entrant] = {
    # the product's defaults in the middle; in units of how far the prompt's words lie apart
    SK_PREFIX: Entrant("SK-prefix", (1.5e-2, 3e-2, 6e-2)),
    SK_PROMPT: Entrant("SK-prompt", (2e-1, 5e-1, 1.0)),
    # P-tuning v2 and PEFT's own examples: 5e-3 to 3e-2 for free keys and values; here more is good
    PREFIX: Entrant("PREFIX_TUNING", (1e-2, 3e-2, 1e-1)),
    # PEFT's examples: 3e-2; Lester et al. go up to 0.3 with another optimiser
    PROMPT: Entrant("PROMPT_TUNING", (1e-2, 3e-2, 1e-1)),
    # started from the words of the SK prompt; word embeddings are small, so are the steps
    PROMPT_WORDS: Entrant("PROMPT_TUNING, from the words", (3e-3, 1e-2, 3e-2)),
    # PEFT's example for sentence pairs: 1e-3, over twenty epochs
    P_TUNING: Entrant("P_TUNING", (1e-3, 3e-3, 1e-2)),
    # Hu et al.: 4e-4 to 5e-4 for RoBERTa, over many epochs; PEFT's examples up to 3e-3
    LORA: Entrant("LoRA, r = 8, query and value", (1e-3, 2e-3, 5e-3)),
    OWN_HEAD: Entrant("PREFIX_TUNING, PEFT's own head", (1e-2, 3e-2, 1e-1)),
    LOGISTIC: Entrant("logistic head, frozen base", (), epochs=0),
    # Devlin et al.: 2e-5 to 5e-5; small models take more
    FULL: Entrant("full fine-tuning", (2e-5, 5e-5, 1e-4)),
}
