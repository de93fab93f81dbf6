"""The table of trtexec's flags, and how it is read from NVIDIA's sources."""

import re
import subprocess

from helpers.commands.trtexec_flags import flags
from tools.make_trtexec import distil

OLD, NEW = "samples/opensource/trtexec/trtexec.cpp", "samples/common/sampleOptions.cpp"
RELEASES = {
    "v5.1.5": {OLD: 'parseBool(argv[j], "fp16", x) || parseInt(argv[j], "batch", y)'},
    "8.4.1": {
        NEW: 'get("--fp16", x); get("--batch", y); get("--workspace", z);\n'
        '<< "--workspace flag has been deprecated by --memPoolSize flag."\n'
        'void SafeBuilderOptions::parse()\n{\n    get("--int8", x);\n}\n'
    },
    "22.08": {NEW: 'get("--monthly", x)'},
    "v11.0": {
        NEW: 'get("--fp16", x); get("--stronglyTyped", y)\n"  --stronglyTyped    [Deprecated] A no-op."\n'
        '"Note: --bf16, --fp16 are deprecated"'
    },
}


def test_each_flag_that_is_old_has_an_answer():
    assert len(flags()) > 150
    for flag in flags().values():
        assert bool(flag.use) == bool(flag.gone or flag.deprecated), flag
        assert all(re.fullmatch(r"(<=)?\d+(\.\d+)+|", release) for release in (flag.came, flag.deprecated, flag.gone))
        assert flag.name.startswith("--")
    assert flags()["--memPoolSize"].gone == ""
    assert (flags()["--workspace"].gone, flags()["--fp16"].gone) == ("10.0.0", "11.0")


def test_what_a_release_takes_is_read_from_its_sources(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init", "-q")
    for tag, files in RELEASES.items():
        git("rm", "-rq", "--cached", "--ignore-unmatch", ".")
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
            git("add", path)
        git("commit", "-qm", tag)
        git("tag", tag)
    found = distil(tmp_path, {"--batch": "--shapes"})
    assert found == {
        "--batch": {"came": "<=5.1.5", "deprecated": "", "gone": "11.0", "use": "--shapes"},
        "--fp16": {"came": "<=5.1.5", "deprecated": "11.0", "gone": "", "use": ""},
        "--stronglyTyped": {"came": "11.0", "deprecated": "11.0", "gone": "", "use": ""},
        "--workspace": {"came": "8.4.1", "deprecated": "8.4.1", "gone": "11.0", "use": ""},
    }
