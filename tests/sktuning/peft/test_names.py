"""What `sktuning.peft` offers, and that PEFT is not needed for it."""

import subprocess
import sys

import pytest

from sktuning import peft


def test_names_are_imported_on_first_use() -> None:
    assert list(peft.__all__) == sorted(peft.__all__)
    for name in peft.__all__:
        assert getattr(peft, name).__name__ == name
        assert name in dir(peft)
    with pytest.raises(AttributeError, match="no attribute 'lora'"):
        peft.lora  # noqa: B018


def test_peft_is_never_imported() -> None:
    program = (
        "import sys; from sktuning import peft; [getattr(peft, n) for n in peft.__all__]; "
        "sys.exit('peft' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_declaration_is_read_without_torch() -> None:
    program = "import sys, sktuning.peft.declaration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
