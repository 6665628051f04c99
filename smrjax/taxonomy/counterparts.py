"""Which classes of one taxonomy are those of another, under whatever codes."""

from smrjax.taxonomy.taxonomy import Taxonomy


def counterparts(other: Taxonomy, own: Taxonomy) -> dict[str, str]:
    """Codes of one taxonomy whose classes have a namesake in another: the same title, however it is spelt in capitals.

    Codes alone say little: PMO is a promyelocyte to one laboratory and a promonocyte to the next.

    Args:
        other: Whose codes are looked up.
        own: Among whose classes.

    Returns:
        Code of ``other`` -> code of ``own``.
    """
    if (other.classes, other.titles) == (own.classes, own.titles):
        return {code: code for code in own.classes}
    titles = [title.casefold() for title in own.titles]
    # A title that two classes share tells neither.
    known = {title: code for code, title in zip(own.classes, titles, strict=True) if titles.count(title) == 1}
    pairs = zip(other.classes, other.titles, strict=True)
    return {code: known[title.casefold()] for code, title in pairs if title.casefold() in known}
