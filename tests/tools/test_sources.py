"""What tools/sources.py reads in headers: names with their classes, and which of their forms are outdated."""

import subprocess

import pytest

from tools.sources import Sources, read_header

HEADER = r"""
#define NV_TENSORRT_MAJOR {major}
#define REGISTER_A_PLUGIN(name) \\
    static PluginRegistrar<name> pluginRegistrar##name {{}}
extern "C" TENSORRTAPI void* createThing_INTERNAL(int32_t version) noexcept;
namespace nvinfer1
{{
class IForward;
namespace impl {{ class Hidden; struct Max {{ int kVALUE = 3; }}; }}
namespace v_1_0
{{
class IReader
{{
public:
    virtual ~IReader() noexcept = default;
    virtual bool read(void* data, int64_t size = 0) noexcept = 0;
protected:
    IReader(IReader const&) = default;
    void secret();
}};
}} // namespace v_1_0
using IReader = v_1_0::IReader;
enum class Kind : int32_t
{{
    kFIRST = 0, //!< The first.
    //! \deprecated Deprecated in TensorRT {major}.0.
    kSECOND TRT_DEPRECATED_ENUM = 1 << 1,
}};
class TRT_DEPRECATED INetwork : public INoCopy
{{
public:
    //! \deprecated Deprecated in TensorRT 9.0. Superseded by add with a type.
    TRT_DEPRECATED ILayer* add(ITensor& x) noexcept {{ return mImpl->add(x); }}
    {newer}
    int32_t size{{3}};
}};
template <typename T>
constexpr int32_t most() noexcept {{ return impl::Max<T>::kVALUE; }}
}} // namespace nvinfer1
"""
NEWER = "ILayer* add(ITensor& x, DataType type) noexcept;"


def test_a_header_is_read():
    found = dict(read_header(HEADER.format(major=9, newer="")))
    assert {name: one.kind for name, one in found.items()} == {
        "REGISTER_A_PLUGIN": "macro",
        "createThing_INTERNAL": "function",
        "nvinfer1::IReader": "class",
        "nvinfer1::IReader::read": "function",
        "nvinfer1::Kind": "enum",
        "nvinfer1::Kind::kFIRST": "value",
        "nvinfer1::Kind::kSECOND": "value",
        "nvinfer1::INetwork": "class",
        "nvinfer1::INetwork::add": "function",
        "nvinfer1::INetwork::size": "field",
        "nvinfer1::most": "function",
    }
    assert {name for name, one in found.items() if one.deprecated} == {
        "nvinfer1::Kind::kSECOND",
        "nvinfer1::INetwork",
        "nvinfer1::INetwork::add",
    }
    assert found["nvinfer1::INetwork::add"].since == "9.0"


@pytest.fixture
def clone(tmp_path):
    """A repository with two releases; the second has a newer form of ``add``."""

    def git(*arguments):
        names = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *names, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "include").mkdir()
    (tmp_path / "python/src").mkdir(parents=True)
    (tmp_path / "plugin").mkdir()
    for tag, major, newer, plugin in (
        ("8.0.1", 8, "", "Old_TRT"),
        ("v9.0.0", 9, NEWER, "New_TRT"),
        ("v9.9.9", 8, "", "x"),
    ):
        (tmp_path / "include/NvInfer.h").write_text(HEADER.format(major=major, newer=newer))
        (tmp_path / "plugin/a.cpp").write_text(f'char const* const kPLUGIN_NAMES[] = {{"Both_TRT", "{plugin}"}};')
        binding = f'py::class_<INetwork>(m, "Network{major}").def("add_it", &INetwork::add, "x"_a);'
        (tmp_path / "python/src/a.cpp").write_text(f'{binding} py::class_<IBuilder>(m, "Builder");')
        git("add", "-A")
        git("commit", "-q", "-m", tag)
        git("tag", tag)
    return tmp_path


def test_a_name_is_outdated_where_all_its_forms_are(clone):
    sources = Sources(clone)
    assert sources.tags == {"8.0.1": "8.0.1", "9.0.0": "v9.0.0"}  # the headers of 9.9.9 are those of 8
    lived = sources.lived()["nvinfer1::INetwork::add"]
    assert (lived.came, lived.deprecated, lived.gone) == ("<=8.0.1", "", "")
    assert sources.lived()["nvinfer1::Kind::kSECOND"].deprecated == "9.0"
    assert sources.plugins() == {"Both_TRT": ("<=8.0.1", ""), "Old_TRT": ("<=8.0.1", "9.0.0"), "New_TRT": ("9.0.0", "")}
    assert sources.bound()["Network8"] == ("<=8.0.1", "9.0.0")
    assert sources.spellings()["Network9.add_it"] == {"INetwork::add"}
