"""What may be installed is a name of a registry, and nothing that a shell, pip or npm takes for something else."""
import pytest

from hotpath.ide.errors import Invalid
from hotpath.ide.workspace.packages import checked


@pytest.mark.parametrize("name", [
    "requests", "Flask", "zope.interface", "a", "requests==2.31.0", "numpy>=1.26,<3", "uvicorn[standard]",
    "torch==2.1.0+cpu", "left-pad", "left-pad@1.3.0", "react@latest", "@scope/name", "@types/node@^20.1",
    "lodash@~4.17", "django~=5.0", "pkg==1.*", "x!=1.0"])
def test_names(name):
    assert checked([name]) == [name]


@pytest.mark.parametrize("name", [
    "", " ", "-r", "--index-url=http://x", "-e", ".", "..", "./x", "/etc/passwd", "a/b", "../x", "~/x", "@a", "@a/",
    "@a/b/c", "http://x/y", "git+https://x/y", "a@http://x", "name @ file:///x", "file:x", "x.whl", "x.tar.gz",
    "x.TGZ", "x.zip", "a;b", "a b", "a\nb", "a\0", "a`b`", "$(x)", "a|b", "a&b", "'a'", "name==", "name@", "näme",
    "a#b", "a%20b", "x==1;python_version>'3'", "a" * 215, "github:user/repo", "user/repo", "npm:x", "a==1 ", " a"])
def test_anything_else_is_refused(name):
    with pytest.raises(Invalid):
        checked([name])


def test_none_and_too_many():
    for names in ([], ["a"] * 51):
        with pytest.raises(Invalid):
            checked(names)
