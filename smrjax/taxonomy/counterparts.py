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
    known = {title.casefold(): code for code, title in zip(own.classes, own.titles, strict=True)}
    pairs = zip(other.classes, other.titles, strict=True)
    return {code: known[title.casefold()] for code, title in pairs if title.casefold() in known}
