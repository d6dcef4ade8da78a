from dataclasses import replace

import pytest
from making import make_adapter

from skhost.reference import check_shapes, reference_adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Method
from sktuning.errors import ArtifactCorrupt


def test_shapes_of_another_base_are_refused(tiny_bert: FrozenBase) -> None:
    reference = reference_adapter(Classifier(tiny_bert))
    good = make_adapter(tiny_bert)
    check_shapes(good, reference, tiny_bert.embedding_size)
    check_shapes(
        make_adapter(tiny_bert, method=Method.SK_PROMPT), reference, tiny_bert.embedding_size
    )
    assert good.state.kv is not None
    fewer_layers = replace(good, state=replace(good.state, kv=good.state.kv[:1]))
    with pytest.raises(ArtifactCorrupt, match=r"prompt state has shape \[1, 2"):
        check_shapes(fewer_layers, reference, tiny_bert.embedding_size)
    narrow = replace(good, head=replace(good.head, weight=good.head.weight[:, :5]))
    with pytest.raises(ArtifactCorrupt, match="head reads 5 values"):
        check_shapes(narrow, reference, tiny_bert.embedding_size)
