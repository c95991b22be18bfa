import subprocess
import sys
import types

import pytest

import labelwise
import labelwise.audit
from labelwise.audit import cross_fit, run_audit


def test_the_package_is_a_module_and_can_be_called():
    assert isinstance(labelwise.audit, types.ModuleType)
    assert callable(labelwise.audit)
    assert labelwise.audit.cross_fit is cross_fit
    assert labelwise.audit.run_audit is run_audit
    with pytest.raises(TypeError, match="unexpected keyword argument 'fold'"):
        labelwise.audit(None, fold=3)


@pytest.mark.parametrize(
    "imports",
    [
        "import labelwise",
        "from labelwise.audit import cross_fit\nimport labelwise",
        "import labelwise.audit.votes, labelwise",
    ],
)
def test_the_order_of_imports_does_not_matter(imports):
    code = f"{imports}\nassert callable(labelwise.audit) and callable(labelwise.audit.find_label_issues)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_worker_processes_do_without_torch():
    code = "import sys, labelwise.audit.cross_fitting\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_documented():
    for name in labelwise.audit.__all__:
        assert getattr(labelwise.audit, name).__doc__, name
