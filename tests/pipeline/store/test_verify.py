import threading

import pytest

from pipeline.errors import CacheError
from pipeline.store.inventory import keys_of
from pipeline.store.store import Store
from pipeline.store.verify import verify_artifacts
from tests.support.stored_artifacts import HARMS, KINDS, Bucket, damage, put, store_of


def problems(store, keys=None):
    verdicts = verify_artifacts(store, list(keys_of(store)) if keys is None else keys, workers=2)
    return {verdict.key: verdict.problem for verdict in verdicts if verdict.problem}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_is_found_and_only_that(tmp_path, kind):
    store = store_of(kind, tmp_path)
    good = {put(store, name) for name in ("one", "two")}
    harmed = {}
    for harm in HARMS:
        harmed[put(store, harm)] = harm
    for key, harm in harmed.items():
        damage(store, key, harm)
    problems_before = problems(store)
    assert set(problems_before) == set(harmed)
    assert not good & set(problems_before)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("flipped", "x: frame 13 is damaged"),
        ("fewer frames", "x: cannot be read (it ends after 2 frames)"),
        ("no JSON", "manifest.json: expected a manifest, got b'{'"),
        ("no longer true", "manifest.json: expected a manifest, got "),
        ("another's", "manifest.json: expected that of "),
    ],
)
def test_what_is_damaged_is_told(tmp_path, harm, words):
    store = store_of("folder", tmp_path)
    key = put(store, "one")
    damage(store, key, harm)
    assert words in problems(store)[key]


def test_the_whole_text_of_a_problem_is_told(tmp_path):
    class Odd(Store):
        def read(self, *pieces, remember=False):
            raise CacheError("s3://a: delete me/x: cannot be read")

    put(store_of("folder", tmp_path), "one")
    (root,) = [path.parent for path in tmp_path.rglob("store.json")]
    (problem,) = problems(Odd(str(root))).values()
    assert problem == "s3://a: delete me/x: cannot be read"


def test_an_artifact_removed_meanwhile_is_no_problem(tmp_path):
    store = store_of("folder", tmp_path)
    keys = [put(store, str(k), frames=40) for k in range(30)]

    def thin_out():
        for key in reversed(keys):
            store.remove(key)

    remover = threading.Thread(target=thin_out)
    remover.start()
    assert problems(store, keys) == {}
    remover.join()


def test_without_its_manifest_there_is_nothing_to_check(tmp_path):
    store = store_of("bucket", tmp_path)
    key = put(store, "one")
    store.fs.rm_file(f"{store.artifact_folder(key)}/manifest.json")
    assert problems(store) == {}


class Unplugged(Bucket):
    """A bucket that cannot be reached once `frames` are asked for."""

    protocol = "unplugged"

    def cat_file(self, path, start=None, end=None, **options):
        if "/c." in path:
            raise ConnectionError("no route to host")
        return super().cat_file(path, start=start, end=end, **options)

    @classmethod
    def _strip_protocol(cls, path):
        return Bucket._strip_protocol(path.removeprefix("unplugged://"))


def test_a_store_that_cannot_be_reached_is_not_damaged(tmp_path):
    import fsspec

    fsspec.register_implementation("unplugged", Unplugged, clobber=True)
    put(store_of("bucket", tmp_path), "one")
    with pytest.raises(ConnectionError, match="no route to host"):
        problems(Store(f"unplugged://{tmp_path / 'store'}"))
