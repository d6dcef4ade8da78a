"""The frozen base model: loaded once, never changed, shared by every adapter."""

import inspect
import logging
from collections.abc import Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from sktuning import attention, families
from sktuning.config import BaseIdentity
from sktuning.errors import BaseMismatch, UnsupportedBase
from sktuning.fingerprint import base_digest
from sktuning.heads import Dense
from sktuning.layers import find_layers
from sktuning.loading import choose_device, choose_dtype, quiet, read_base, refuse_known
from sktuning.packed import PackedForward
from sktuning.padded import PaddedForward
from sktuning.precision import convert, prefers_bfloat16
from sktuning.probe import check_calls, check_path, stock_outputs
from sktuning.products import lay_out
from sktuning.rows import Captured, Hidden, Row

log = logging.getLogger(__name__)

Path_ = Literal["packed", "padded"]


class FrozenBase:
    """A stock transformers model without a head, frozen, with a forward over rows of our own.

    Attributes:
        identity: name and digest; adapters carry it.
        family: transformers' model type.
        is_causal: whether tokens see only what stands before them.
        is_rotary: whether positions are relative, turned into keys and queries.
        max_length: tokens a row may have, prompt included.
        num_layers, hidden_size, embedding_size: L, H, E.
        path: how rows are batched.
        why_padded: why they cannot be packed; None where they are.
        tokenizer: transformers' tokenizer.
        pooler: the layer that the family's classifiers put before their heads, where it has one.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        identity: BaseIdentity,
        pooler: Dense | None = None,
    ) -> None:
        config: Any = model.config
        self._adopt(model.eval().requires_grad_(False))
        self.tokenizer = tokenizer
        self.identity = identity
        self.pooler = pooler
        self.family: str = config.model_type
        self.is_causal = families.is_causal(model)
        self.is_rotary = families.is_rotary(model)
        self.max_length = families.max_length(config)
        self.hidden_size = int(config.hidden_size)
        self.embedding_size = int(self.embedding.weight.shape[1])
        self.why_padded: str | None = None
        self._forward, self.path = self._prove_a_path()

    @classmethod
    def load(
        cls, source: str | Path | None = None, *, device: str = "auto", dtype: str = "auto"
    ) -> Self:
        """Read a base and prove that rows can be batched on it.

        Args:
            source: a folder, a GGUF file, a Hugging Face id; None is the packaged all-MiniLM-L6-v2.
            device: auto, cpu, cuda, cuda:N.
            dtype: auto, float32, bfloat16, float16.

        Raises:
            BaseLoadError: it cannot be read.
            UnsupportedBase: its family can be neither packed nor padded.
        """
        loaded = read_base(source)
        return cls.from_model(
            loaded.model,
            loaded.tokenizer,
            loaded.name,
            device=device,
            dtype=dtype,
            pooler=loaded.pooler,
        )

    @classmethod
    def from_model(
        cls,
        model: nn.Module,
        tokenizer: Any,
        name: str,
        *,
        device: str = "cpu",
        dtype: str = "auto",
        pooler: Dense | None = None,
    ) -> Self:
        """A base from a model and a tokenizer in memory; see `load`."""
        refuse_known(model.config.model_type)  # type: ignore[union-attr, arg-type]
        target = choose_device(device)
        identity = BaseIdentity(name, base_digest(model, tokenizer.backend_tokenizer))
        with quiet():
            base = cls(model.to(target, torch.float32), tokenizer, identity, pooler)
        convert(base.model, choose_dtype(dtype, target))
        log.info("base %s: %s, %s path, %s", identity, base.family, base.path, base.dtype)
        return base

    def converted(self, dtype: torch.dtype) -> Self:
        """The same base in another dtype, with weights of its own; itself if that is its dtype."""
        if dtype is self.dtype:
            return self
        twin = copy(self)
        twin._adopt(convert(deepcopy(self.model), dtype))
        twin._forward = twin._pack() if self.path == "packed" else twin._pad()
        return twin

    def prepare_to_serve(self, dtype: str = "auto") -> None:
        """Change it, in place, to what answers fastest; for a base that nothing is trained on.

        On a processor that multiplies bfloat16 in hardware, ``auto`` turns wide bases into that
        dtype, and their weights get a second copy in the order that products read.
        """
        if dtype == "auto" and prefers_bfloat16(self.device, self.hidden_size):
            convert(self.model, torch.bfloat16)
        count = lay_out(self.model)
        log.info("base %s serves in %s, %d layers laid out", self.identity, self.dtype, count)

    @property
    def device(self) -> torch.device:
        """Where the base is."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the base computes in."""
        return next(self.model.parameters()).dtype

    @property
    def uses_token_types(self) -> bool:
        """Whether the tokenizer makes token types and the model reads them."""
        return "token_type_ids" in self._accepts

    def forward(self, rows: Sequence[Row]) -> Hidden:
        """Last hidden states of the rows' own tokens; gradient reaches the rows' states."""
        return self._forward(rows)

    def capture(self, embeds: Tensor, replace: Tensor | None = None) -> Captured:
        """Read a prompt alone: embeddings (P, E) to every layer's input, keys and values.

        `replace`, (L, P, H), is put in place of every layer's input; gradient reaches both.
        """
        return self._forward.capture(embeds, replace)

    def check(self, identity: BaseIdentity) -> None:
        """Refuse an adapter of another base.

        Raises:
            BaseMismatch: the digests differ.
        """
        if identity.digest != self.identity.digest:
            raise BaseMismatch(f"the adapter was trained on {identity}; this is {self.identity}")

    def _adopt(self, model: nn.Module) -> None:
        self.model = model
        self.num_layers = int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
        self.embedding: nn.Embedding = model.get_input_embeddings()  # type: ignore[operator]
        self._layers = find_layers(model, self.num_layers)

    def _pad(self) -> PaddedForward:
        return PaddedForward(self.model, self._layers, self._accepts)

    def _pack(self) -> PackedForward:
        start = families.position_start(self.model.config)
        return PackedForward(self.model, self._layers, start, self._accepts)

    @property
    def _accepts(self) -> frozenset[str]:
        names = frozenset(inspect.signature(self.model.forward).parameters)
        if "token_type_ids" in self.tokenizer.model_input_names:
            return names
        return names - {"token_type_ids"}  # GPT-2 would add an embedding for type 0

    def _prove_a_path(self) -> tuple[PackedForward | PaddedForward, Path_]:
        stock = stock_outputs(self.model, self.is_causal)
        try:
            return self._packed(stock), "packed"
        except UnsupportedBase as error:
            log.info("%s cannot be packed: %s", self.family, error)
            reason = str(error)
        if not self.is_causal:
            raise UnsupportedBase(
                f"{self.family} cannot be a base: it cannot be packed ({reason}), and the padded "
                "path is for causal families; bert, roberta, distilbert or modernbert would work"
            )
        try:
            forward = self._padded(stock)
        except (UnsupportedBase, TypeError, ValueError, AttributeError, LookupError) as error:
            raise UnsupportedBase(
                f"{self.family} cannot be a base: it cannot be packed ({reason}) nor padded "
                f"({_said(error)}); llama, mistral, qwen2, gpt2 or bloom would work"
            ) from error
        self.why_padded = reason
        return forward, "padded"

    def _packed(self, stock: Sequence[Tensor]) -> PackedForward:
        AttentionInterface.register(attention.NAME, attention.attend)
        try:
            self.model.set_attn_implementation(attention.NAME)  # type: ignore[operator]
        except ValueError as error:
            raise UnsupportedBase(str(error)) from error
        forward = self._pack()
        modules: list[nn.Module] = []
        try:
            forward([Row((3, 4), (0, 0))], modules=modules)
        except TypeError as error:
            raise UnsupportedBase(f"its forward takes no packing: {error}") from error
        check_calls(modules, self.num_layers)
        for number, module in enumerate(modules):
            setattr(module, attention.LAYER, number)
        check_path(forward, forward.capture, self.embedding, stock, self.is_causal)
        return forward

    def _padded(self, stock: Sequence[Tensor]) -> PaddedForward:
        self.model.set_attn_implementation("eager")  # type: ignore[operator]
        forward = self._pad()
        check_path(forward, forward.capture, self.embedding, stock, self.is_causal)
        return forward


def _said(error: Exception) -> str:
    """The message of an error of ours; of any other with its kind, as it may say little."""
    return str(error) if isinstance(error, UnsupportedBase) else f"{type(error).__name__}: {error}"
