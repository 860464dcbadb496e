"""Trees that dtc compiles, judged by dt-schema and by us, side by side.

``VARIANTS`` is the table: one fault each, what dt-schema says of it and what we say. dt-schema's column is as
measured; it is given the demands of Linux's binding in fuzz/wakeup-mailbox-schema.yaml.
"""

import os
import shutil

import attrs
import pytest

from mpwake.fuzz.binding import SCHEMA, complaints_of_dtschema
from support.tools import dt_schema, dtc, ids, judged, run

NODE = """
        wakeup-mailbox@7f5e5000 {
            compatible = "intel,wakeup-mailbox";
            reg = <0x0 0x7f5e5000 0x0 0x1000>;
        };
"""
GOOD = f"""\
/dts-v1/;
/ {{
    compatible = "x,y"; model = "m";
    #address-cells = <2>; #size-cells = <2>;
    cpus {{
        #address-cells = <1>; #size-cells = <0>;
        cpu@0   {{ device_type = "cpu"; reg = <0>;     status = "okay"; }};
        cpu@100 {{ device_type = "cpu"; reg = <0x100>; status = "okay"; }};
    }};
    reserved-memory {{
        #address-cells = <2>; #size-cells = <2>; ranges;{NODE}    }};
}};
"""
REG = "reg = <0x0 0x7f5e5000 0x0 0x1000>;"
OPENVMM = """\
/dts-v1/;
/ {
    compatible = "microsoft,openvmm";
    #address-cells = <2>; #size-cells = <2>;
    cpus {
        #address-cells = <1>; #size-cells = <0>;
        cpu@1 { device_type = "cpu"; reg = <0>; status = "okay"; };
        cpu@2 { device_type = "cpu"; reg = <1>; status = "okay"; };
    };
    reserved-memory {
        #address-cells = <2>; #size-cells = <1>; ranges;
        wakeup_table@fffff000 {
            compatible = "intel,wakeup-mailbox";
            reg = <0x0 0xfffff000 0x1000>;
        };
    };
};
"""


@attrs.frozen
class Variant:
    """One tree: its source, what dt-schema says of it (empty: nothing), and which requirements fail with us.

    ``weightless`` are failures that do not decide our verdict: interoperability and robustness. ``ours_to_find`` is
    False where dt-schema complains of something that is no matter of the mailbox.
    """

    name: str
    source: str
    schema: str
    ours: frozenset[str]
    weightless: frozenset[str] = frozenset()
    ours_to_find: bool = True


def variant(name, schema, ours="", *changes, source=GOOD, weightless="", ours_to_find=True):
    for old, new in changes:
        assert source.count(old) == 1, f"{name}: {old!r} is in the tree {source.count(old)} times"
        source = source.replace(old, new)
    return Variant(name, source, schema, frozenset(ours.split()), frozenset(weightless.split()), ours_to_find)


def moved(node, base):
    return node.replace("7f5e5000", base)


# The first group are the rows of catalogue B.7, the second the shape of B.8, the third what else the two can differ in.
VARIANTS = (
    variant("good", ""),
    variant("no-ranges", "", "DT-09", (" ranges;", "")),
    variant("misaligned", "", "MEM-01", (NODE, moved(NODE, "7f5e5800")), weightless="DT-05"),
    variant("size-0x800", "", "MEM-01", (REG, "reg = <0x0 0x7f5e5000 0x0 0x800>;"), weightless="DT-06"),
    variant("two-nodes", "", "", (NODE, NODE + moved(NODE, "7f5e6000")), weightless="MEM-01"),
    variant(
        "two-tuples",
        "is too long",
        "DT-04",
        (REG, "reg = <0x0 0x7f5e5000 0x0 0x1000>, <0x0 0x7f5e6000 0x0 0x1000>;"),
    ),
    variant(
        "extra-property",
        "'wakeup-mailbox-version' was unexpected",
        "DT-07 DT-12",
        (REG, REG + " wakeup-mailbox-version = <1>;"),
    ),
    variant(
        "size-instead-of-reg",
        "'reg' is a required property",
        "DT-02",
        (NODE, NODE.replace(REG, "size = <0x0 0x1000>;").replace("@7f5e5000", "")),
    ),
    variant("no-map", "", "", (REG, REG + " no-map;")),
    variant("openvmm", "'model' is a required property", "DT-08", source=OPENVMM, ours_to_find=False),
    variant("openvmm-with-model", "", "DT-08", ('openvmm";', 'openvmm"; model = "m";'), source=OPENVMM),
    variant("above-4-gib", "", "", (NODE, moved(NODE, "17f5e5000").replace("<0x0 0x1", "<0x1 0x"))),
    variant("no-map-and-reusable", "should not be valid under", "DT-10", (REG, REG + " no-map; reusable;")),
    variant("reusable", "", "", (REG, REG + " reusable;"), weightless="DT-10"),
    variant(
        "second-compatible",
        "is too long",
        "DT-01",
        ('"intel,wakeup-mailbox"', '"intel,wakeup-mailbox", "x,y"'),
    ),
    variant("misspelt-compatible", "", "DT-01", ("intel,wakeup-mailbox", "intel,wakeup_mailbox")),
    variant("under-the-root", "", "DT-03", (NODE, "\n"), ("    cpus {", NODE + "    cpus {")),
    variant("unit-address", "", "DT-11", ("wakeup-mailbox@7f5e5000", "wakeup-mailbox@0")),
    variant("child", "'ap' was unexpected", "DT-07", (REG, REG + " ap { };")),
    variant("ranges-translate", "", "DT-09", (" ranges;", " ranges = <0 0 0 0 0 0x80000000>;")),
    variant(
        "size-cells-differ",
        "",
        "DT-08",
        ("#size-cells = <2>; ranges;", "#size-cells = <1>; ranges;"),
        (REG, "reg = <0x0 0x7f5e5000 0x1000>;"),
    ),
    variant("cpu-disabled", "", "DT-18", ('<0x100>; status = "okay"', '<0x100>; status = "disabled"')),
    variant("cpu-twice", "", "DT-14", ("reg = <0x100>", "reg = <0>")),
    variant(
        "cpu-without-device-type",
        "cpu@100",
        "DT-14",
        ('cpu@100 { device_type = "cpu";', "cpu@100 {"),
    ),
    variant(
        "cpus-with-size-cells",
        "#size-cells: 0 was expected",
        "DT-14",
        ("#size-cells = <0>", "#size-cells = <1>"),
        ("reg = <0>", "reg = <0 0>"),
        ("reg = <0x100>", "reg = <0x100 0>"),
    ),
)
CATALOGUE = (
    "good no-ranges misaligned size-0x800 two-nodes two-tuples extra-property size-instead-of-reg no-map openvmm"
).split()
every_variant = pytest.mark.parametrize("one", VARIANTS, ids=[one.name for one in VARIANTS])


def compiled(one, folder, *options):
    """Return the blob that dtc makes of a variant."""
    (folder / f"{one.name}.dts").write_text(one.source, encoding="ascii")
    result = run(dtc(), "-q", "-O", "dtb", *options, "-o", f"{one.name}.dtb", f"{one.name}.dts", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / f"{one.name}.dtb"


@pytest.mark.parametrize("options", ["-V 16", "-V 17", "-@", "-p 1024", "-S 65536", "-R 8", "-b 256", "-H both", "-s"])
def test_every_form_of_a_blob_is_read(tmp_path, options):
    """Older version, symbols, room at the end, memory reservations, both kinds of phandle, sorted."""
    labelled = variant(
        "labelled",
        "",
        "",
        ("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x7f5e5000 0x1000;"),
        ("wakeup-mailbox@7f5e5000", "mbox: wakeup-mailbox@7f5e5000"),
        ("    cpus {", "    aliases { mailbox = &mbox; };\n    chosen { x,mailbox = <&mbox>; };\n    cpus {"),
    )
    document = judged(compiled(labelled, tmp_path, *options.split()), cwd=tmp_path)
    assert (document["exit_code"], ids(document, "fail"), document["subject"]["notes"]) == (0, set(), [])


@every_variant
def test_what_we_say(tmp_path, one):
    document = judged(compiled(one, tmp_path), cwd=tmp_path)
    assert ids(document, "fail") == one.ours | one.weightless
    assert document["exit_code"] == (1 if one.ours else 0)
    light = {found["id"] for found in document["requirements"] if found["weight"] in ("interop", "robustness")}
    assert one.weightless == ids(document, "fail") & light


@every_variant
def test_what_dt_schema_says(tmp_path, one):
    """Its exit code says nothing: it is 0 whatever is found."""
    result = run(dt_schema("dt-validate"), "-s", SCHEMA, compiled(one, tmp_path), cwd=tmp_path)
    said = result.stdout + result.stderr
    assert result.returncode == 0
    assert (one.schema in said) if one.schema else said == ""


def test_the_schema_is_one_for_dt_schema(tmp_path):
    """A schema with a mistake is left out by dt-validate, and then everything passes."""
    place = tmp_path / "reserved-memory" / SCHEMA.name
    place.parent.mkdir()
    place.write_bytes(SCHEMA.read_bytes())
    result = run(dt_schema("dt-doc-validate"), place.relative_to(tmp_path), cwd=tmp_path)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_we_find_whatever_dt_schema_finds():
    assert [one.name for one in VARIANTS if one.schema and one.ours_to_find and not one.ours] == []


def test_dt_schema_finds_neither_alignment_nor_size_nor_ranges_nor_cells():
    missed = set().union(*(one.ours | one.weightless for one in VARIANTS if not one.schema))
    assert {"DT-05", "DT-06", "DT-08", "DT-09", "MEM-01"} <= missed


def test_the_verdicts_of_dt_schema_are_those_of_the_catalogue():
    failing = {one.name for one in VARIANTS if one.schema}
    assert failing & set(CATALOGUE) == {"two-tuples", "extra-property", "size-instead-of-reg", "openvmm"}
    assert set(CATALOGUE) <= {one.name for one in VARIANTS}


@every_variant
def test_the_process_that_the_fuzzer_asks_says_what_dt_schema_says(tmp_path, one):
    if shutil.which("dt-validate", path=os.environ.get("MPWAKE_DTSCHEMA")) is None:
        dt_schema("dt-validate")
    said = complaints_of_dtschema(compiled(one, tmp_path).read_bytes())
    of_the_mailbox = bool(one.schema) and bool({"DT-01", "DT-02", "DT-04", "DT-07", "DT-10"} & one.ours)
    assert bool(said) is of_the_mailbox
    if said:
        assert one.schema in " ".join(said)
