"""A report page, parsed: what it loads, runs and says."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page loads, runs and says."""

    VOID = ("meta", "img", "source", "wbr", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.open, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for key, value in attributes if key in ("src", "srcset", "href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        if "style" not in self.open:
            self.words.append(words)

    @property
    def text(self):
        return "".join(self.words)
