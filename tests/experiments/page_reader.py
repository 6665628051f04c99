"""A page as a reader meets it: tables, words and addresses."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Reader(HTMLParser):
    """Tables, words and addresses of a page; complains of tags that do not match."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.scripts = 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href", "srcset", "action") if values.get(name)]
        if tag == "img":
            self.alts.append(values["alt"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)
            if {"h1", "h2"} & set(self.open):
                self.headings.append(data)
            if {"td", "th"} & set(self.open):
                self.tables[-1][-1][-1] += data

    def table(self, *heads):
        """The rows below the first table that has these heads."""
        return next(table[1:] for table in self.tables if set(heads) <= set(table[0]))
