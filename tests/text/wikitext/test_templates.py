import pytest

from pipeline.text.wikitext import prose
from pipeline.text.wikitext.templates import ROWS


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{convert|1300|mi|km}}", "1,300 miles"),
        ("{{Convert|1|ft|m|sp=us}}", "1 foot"),
        ("{{convert|3|to|4|m|ft|abbr=on}}", "3 to 4 m"),
        ("{{convert|10|-|20|km2}}", "10–20 square kilometres"),
        ("{{convert|5|ft|11|in|m}}", "5 feet 11 inches"),
        ("{{cvt|8|by|10|in}}", "8 by 10 inches"),
        ("{{convert|100|m|adj=on}}", "100-metre"),
        ("{{convert|-5|C|F}}", "−5 °C"),
        ("{{convert|2|e6acre|ha}}", "2 million acres"),
        ("{{convert|1+1/2|ft/s|m/s}}", "1 1/2 feet per second"),
        ("{{formatnum:12345}}", "12,345"),
        ("{{frac|1|2}}", "1/2"),
        ("{{frac|3|1|2}}", "3 1/2"),
        ("{{val|1.5|0.1|e=6|u=km}}", "1.5±0.1×10⁶ km"),
        ("{{as of|2010|6|1}}", "As of 1 June 2010"),
        ("{{as of|2010|lc=y}}", "as of 2010"),
        ("{{circa|1500|1510}}", "c. 1500 – c. 1510"),
        ("{{birth date|1959|1|5}}", "January 5, 1959"),
        ("{{start date|1959|1|5|df=yes}}", "5 January 1959"),
        ("{{death date and age|2000|1|1|1950|6|1}}", "January 1, 2000 (aged 49)"),
        ("{{lang|fr|''mot''}}", "mot"),
        ("{{lang-ru|слово}}", "Russian: слово"),
        ("{{transl|ja|Hepburn|jō}}", "jō"),
        ("{{nihongo|headquarters|本部|honbu}}", "headquarters (本部, honbu)"),
        ("{{chem|H|2|O}}", "H2O"),
        ("{{ill|Word|de|Wort}}", "Word"),
        ("{{USS|Enterprise|CVN-65}}", "USS Enterprise (CVN-65)"),
        ("{{HMS|Ajax|22|6}}", "HMS Ajax"),
        ("{{nowrap|{{small|a [[b|c]]}}}}", "a c"),
        ("{{abbr|fl.|floruit}}", "fl."),
        ("{{bibleverse|1|John|3:16|KJV}}", "1 John 3:16"),
        ("{{ordinal|22}} {{ordinal|113}}", "22nd 113th"),
        ("{{height|ft=5|in=11}}", "5 ft 11 in"),
        ("{{GBP|5}} {{US$|7}} {{€|9}}", "£5 US$7 €9"),
        ("{{railgauge|1435mm}}", "1,435 mm"),
        ("{{pop density|1000|250|km2|prec=1}}", "4.0 per square kilometre"),
        ("{{Cite_web|url=x}}a{{ sfn |b}}", "a"),
    ],
)  # fmt: skip
def test_templates_that_stand_for_words_are_said(template: str, said: str) -> None:
    assert prose(f"It is so: {template}.").paragraphs == [f"It is so: {said}."]


def test_a_quotation_is_a_paragraph() -> None:
    assert prose("He said:\n{{quote|I [[think]].|Him}}\nSo.").paragraphs == ["He said:", "I think.", "So."]


@pytest.mark.parametrize(
    "arguments", ["", "|", "|x", "|1|2|3", "|-|-|-", "|²|٣|99", "|1=9" + "9" * 5000, "|a=b|c=", "|1e999|0|km2"]
)
def test_no_arguments_make_a_row_fail(arguments: str) -> None:
    for name in ROWS:
        assert "{" not in "".join(prose(f"It {{{{{name}{arguments}}}}} is.").paragraphs)
