"""The pictures in docs/images are those that `nameplate screenshots` takes, and small."""

from __future__ import annotations

from cli.screenshots import IMAGES
from demo.gallery import WANTED
from demo.screenshots import SHOTS

LARGEST = 150_000  # bytes
ALL = 3_000_000


def pictures() -> set[str]:
    return {
        f"{shot.name}-{width}{scheme}.png"
        for shot in SHOTS
        for width in ("wide", "phone")
        for scheme in (("", "-dark") if shot.dark else ("",))
    }


def test_each_picture_is_there_and_no_other() -> None:
    assert {file.name for file in IMAGES.iterdir()} == pictures()


def test_the_pictures_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in IMAGES.iterdir()}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}
    assert sum(sizes.values()) <= ALL


def test_every_domain_of_the_gallery_is_shown() -> None:
    assert {shot.domain for shot in SHOTS if shot.domain} <= WANTED.keys()
    assert len({shot.name for shot in SHOTS}) == len(SHOTS)
