"""The Public Suffix List (publicsuffix.org), from the copy that comes with the `publicsuffixlist` package.

Both sections count. A suffix of the private section (`github.io`) is as shared as `co.uk`: nobody may claim
it, and CAs count their limits below it as they do below `co.uk`. A top-level domain that the list does not
know is a public suffix by the list's own default rule, so there is no allow-list of top-level domains.
"""

from publicsuffixlist import PublicSuffixList


class PublicSuffixes:
    """Questions to the list. Making one parses the data (60 ms, 10,000 rules): make one a process, at start.

    Names are in the normal form of `core.hostname.parse_hostname`, without a wildcard.
    """

    __slots__ = ("_list",)

    def __init__(self) -> None:
        self._list = PublicSuffixList()

    def is_suffix(self, name: str) -> bool:
        """True if `name` itself is a public suffix: `co.uk`, `github.io`, `com`, or any single label."""
        return self._list.is_public(name)

    def registered_domain(self, name: str) -> str:
        """The public suffix and one label (eTLD+1). A public suffix is returned as it is."""
        return self._list.privatesuffix(name) or name
