from loom.draw.looks import Badge
from loom.draw.table import badges, plate, table, text_cell


def test_markup_and_backslashes_are_escaped() -> None:
    cell = text_cell(['<b>&lt;\\N "x"'], 9, "#000000")
    assert cell == '<td><font point-size="9" color="#000000">&lt;b&gt;&amp;lt;\\\\N &quot;x&quot;</font></td>'


def test_a_ground_hides_what_is_behind_the_text() -> None:
    assert text_cell(["x"], 9, "#000000", ground="#ffffff").startswith('<td bgcolor="#ffffff">')


def test_letters_of_unknown_width_get_room_of_their_own() -> None:
    assert text_cell(["日本", "ab"], 10, "#000000").startswith('<td width="22" align="left">')
    assert text_cell(["ab"], 10, "#000000").startswith("<td>")


def test_a_cell_without_text_has_no_markup() -> None:
    assert text_cell([""], 9, "#000000", tag="b") == "<td></td>"


def test_a_row_of_plates_is_as_wide_as_its_words() -> None:
    look = Badge("#ffffff", "#000000", "#000000")
    assert 'width="28"' in badges([("pure", look)])
    assert 'width="51"' in badges([("pure", look), ("join", look)])
    assert badges([("pure", look)]).count(plate("pure", look)) == 1


def test_a_table_has_one_row_each() -> None:
    assert table(["<td>a</td>", "<td>b</td>"]) == (
        '<<table border="0" cellspacing="0" cellpadding="0"><tr><td>a</td></tr><tr><td>b</td></tr></table>>'
    )
