import resource

from pipeline.core.store import Store
from tests.flows.conftest import Command, Shop


def pieces(store: Store) -> int:
    return len(list(store.root.glob("pieces/*/*/piece.json")))


def test_gc_frees_what_no_artifact_holds_and_only_that(pretrace: Command, shop: Shop) -> None:
    corpus = shop.make("corpus")
    digests = {name: corpus.file(name).read_bytes() for name in corpus.names("documents")}
    before = pieces(shop.store)
    orphans = [path for path in shop.store.root.glob("pieces/*/*/*") if path.stat().st_nlink == 1]
    freed = sum(path.stat().st_size for path in orphans if path.name != "piece.json")
    said = pretrace("gc", "--store", shop.store.root)
    assert said.code == 0
    assert said.out == f"freed {freed / 1000:.1f} kB of pieces that no artifact holds\n"
    assert 0 < pieces(shop.store) < before
    assert {name: corpus.file(name).read_bytes() for name in digests} == digests
    assert pretrace("gc", "--store", shop.store.root).out == "freed 0 B of pieces that no artifact holds\n"


def test_gc_is_refused_while_something_is_made(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    before = pieces(shop.store)
    with shop.store.making(shop.step("tokenizer")):
        said = pretrace("gc", "--store", shop.store.root)
    assert said.code == 2
    assert f"run.store={shop.store.root}: tokenizer-{shop.step('tokenizer').key} is being made (pid " in said.err
    assert pieces(shop.store) == before
    assert pretrace("gc", "--store", shop.store.root).code == 0


def test_gc_holds_one_lock_however_many_things_were_ever_made(pretrace: Command, shop: Shop) -> None:
    shop.make("corpus")
    many = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for number in range(200):
        (shop.store.root / "locks" / f"corpus-{number:012x}").touch()
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        assert pretrace("gc", "--store", shop.store.root).code == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (many, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
