"""The Debian package, the manual page and the completions."""
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("ISOTOPE_BINARY", ROOT / "build/release/isotope")).resolve()


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package as CPack builds it, and its contents unpacked."""
    need("dpkg-deb")
    build = BINARY.parent
    if not (build / "CPackConfig.cmake").exists():
        pytest.skip(f"{BINARY} is not in the folder of its build")
    folder = tmp_path_factory.mktemp("deb")
    run("cmake", "--build", build, "--target", "package_files")
    run("cpack", "-G", "DEB", "-B", folder, "--config", build / "CPackConfig.cmake", cwd=folder)
    (deb,) = folder.glob("*.deb")
    run("dpkg-deb", "-x", deb, folder / "root")
    run("dpkg-deb", "-e", deb, folder / "control")
    return deb, folder / "root", folder / "control"


def test_contents(package):
    _, root, _ = package
    for name in ["usr/bin/isotope", "etc/default/isotope", "usr/lib/systemd/system/isotope.service",
                 "usr/share/bash-completion/completions/isotope", "usr/share/zsh/vendor-completions/_isotope",
                 "usr/share/fish/vendor_completions.d/isotope.fish", "usr/share/man/man1/isotope.1.gz",
                 "usr/share/doc/isotope/copyright", "usr/share/doc/isotope/changelog.gz"]:
        assert (root / name).stat().st_size > 0, name
    assert len(list((root / "usr/share/doc/isotope/licenses").iterdir())) >= 8
    assert re.match(r"\d+\.\d+\.\d+ \(.+\)", run(root / "usr/bin/isotope", "--version"))
    # Debian's policy: nothing outside of these, all of root's, none writable by others.
    for path in root.rglob("*"):
        assert path.relative_to(root).parts[0] in {"usr", "etc"}
        mode = path.lstat().st_mode
        assert stat.S_ISLNK(mode) or not mode & 0o022, path
        if stat.S_ISREG(mode):
            assert bool(mode & 0o111) == (path.parent.name == "bin"), path
    assert not (root / "usr/local").exists()
    assert stat.S_IMODE((root / "etc/default/isotope").lstat().st_mode) == 0o640, "others can read its keys"


def test_control(package):
    deb, _, control = package
    fields = dict(re.findall(r"^(\S+): (.*)$", run("dpkg-deb", "-f", deb), re.MULTILINE))
    assert fields["Package"] == "isotope" and fields["Architecture"] in {"amd64", "arm64"}
    depends = {entry.split()[0] for entry in fields["Depends"].split(",")}
    assert depends <= {"adduser", "libc6", "libgcc-s1", "libstdc++6"}
    assert (control / "conffiles").read_text() == "/etc/default/isotope\n"
    for name in ["postinst", "prerm", "postrm"]:
        assert (control / name).stat().st_mode & 0o777 == 0o755
        run("sh", "-n", control / name)


def test_unit(package):
    need("systemd-analyze")
    _, root, _ = package
    unit = root / "usr/lib/systemd/system/isotope.service"
    # It looks at the program's path; there the package is not installed.
    text = unit.read_text().replace("/usr/bin/isotope", str(root / "usr/bin/isotope"))
    copy = unit.with_name("isotope-test.service")
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "isotope" in line]
    assert not ours, ours


@pytest.mark.parametrize("journal", [True, False])
def test_the_journal_gets_levels_and_keeps_the_time_itself(journal, tmp_path):
    with open(tmp_path / "log", "w+") as log:
        place = os.fstat(log.fileno())
        stream = f"{place.st_dev}:{place.st_ino + (not journal)}"
        subprocess.run([BINARY, "run", "--model", ROOT / "tests/data/stories260K", "--raw", "-p", "Once", "--max-tokens", "1"],
                       check=True, stdout=subprocess.DEVNULL, stderr=log, env=os.environ | {"JOURNAL_STREAM": stream})
        log.seek(0)
        lines = log.read().splitlines()
    form = r"<6>device: auto chooses" if journal else r"\d\d:\d\d:\d\d\.\d{3} I device: auto chooses"
    assert any(re.match(form, line) for line in lines), lines


def test_manual_page_renders_without_warnings():
    need("groff")
    page = run(BINARY, "man")
    done = subprocess.run(["groff", "-man", "-ww", "-K", "utf8", "-Tutf8"], input=page, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    plain = re.sub(r"\x1b\[\d+m|.\x08", "", done.stdout)  # bold and italics, as a terminal or a printer makes them
    for word in ["isotope serve", "--max-model-len", "--revision"]:
        assert word in plain


ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_isotope
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("words, expected", [
    ("isotope pu", {"pull"}), ("isotope serve --root", {"--root-path"}),
    ("isotope bench l", {"latency"}), ("isotope serve --kv-cache-dtype f", {"fp8"}),
])
def test_completions(words, expected, tmp_path):
    for shell in ["bash", "zsh", "fish"]:
        script = tmp_path / shell
        script.write_text(run(BINARY, "completions", shell))
        if shell == "bash":
            assert set(run("bash", "-c", ASK_BASH, "-", script, *words.split()).split()) == expected
        elif shell == "zsh" and shutil.which("zsh"):
            assert run("zsh", "-fc", f"autoload -U compinit; compinit -D; source {script}; print $_comps[isotope]") == "_isotope\n"
        elif shell == "fish" and shutil.which("fish"):
            found = run("fish", "-c", f"source {script}; complete -C '{words}'", env=os.environ | {"HOME": str(tmp_path)})
            assert {line.split("\t")[0] for line in found.splitlines()} == expected
