"""Trained supernets in use: objectives, exports, and starting weights of trainings."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file
from supernets.trained import SPACE, supernet

import nasctl
from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.cli import cli
from nasctl.errors import BadOption, NasctlError, UnknownName
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.export.inherited import inherited_model
from nasctl.export.request import ExportRequest
from nasctl.search.applicability import refuse_inapplicable
from nasctl.search.metrics import make_objective
from nasctl.store.store import Store
from nasctl.supernets.folder import CURRENT_STORE
from nasctl.supernets.named import supernet_named
from nasctl.supernets.starting_slices import StartingSlices, located, start_doubts
from nasctl.supernets.subnet_rows import extremes_and_sample, subnet_rows
from nasctl.supernets.subnets import space_difference, subnet_state
from nasctl.supernets.trained_supernet import TrainedSupernet, write
from nasctl.supernets.validation import evaluate_subnet, named_batches, stored_batches
from nasctl.training.request import RecipeOptions, TrainRequest
from nasctl.training.starting_weights import load_start

GENOME = (3, 2, 1, 3, 0, 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("used") / "nasctl.db"


@pytest.fixture(scope="module")
def path(store):
    return supernet(store)


@pytest.fixture(scope="module")
def trained(path):
    return TrainedSupernet(path)


@pytest.fixture
def beside(store, path):
    """Look for supernets beside the store of these tests."""
    token = CURRENT_STORE.set(str(store))
    yield path
    CURRENT_STORE.reset(token)


def made(spec):
    return make_objective(spec)[1]


def value(objective, spec=SPACE, genome=GENOME):
    space = registry.create("spaces", spec)
    return objective(Candidate(space, space.canonical(genome), DEFAULT_SETTING, objective.needs))


def test_accuracy_and_loss_are_those_of_the_module_on_the_validation_images_of_the_file(beside, trained):
    examples, labels = trained.validation
    genome = trained.space.canonical(GENOME)
    with torch.no_grad():
        outputs = trained.module(genome)(*trained.inputs(genome, examples))
    right = (outputs.argmax(1) == labels).float()
    assert value(made("accuracy@tiny")) == pytest.approx(100 * right.mean().item(), abs=1e-4)
    assert value(made("accuracy@tiny,images=100")) == pytest.approx(100 * right[:100].mean().item(), abs=1e-4)
    loss = torch.nn.functional.cross_entropy(outputs, labels).item()
    assert value(made("loss@tiny")) == pytest.approx(loss, rel=1e-5)


@pytest.fixture(scope="module")
def unsliced(path):
    """The tensors and facts of the file, and its slots."""
    with safe_open(path, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        known = json.loads(opened.metadata()["nasctl-supernet"])
    return tensors, known, TrainedSupernet(path).weights.hull


def test_the_same_weights_give_the_same_file(unsliced, trained, tmp_path):
    tensors, _, hull = unsliced
    for k in range(8):  # safetensors writes several keys of metadata in the order of a random hash
        write(tmp_path / f"{k}.safetensors", tensors, tensors["calibration/examples"], trained.facts, hull=hull)
    assert len({TrainedSupernet(tmp_path / f"{k}.safetensors").digest for k in range(8)}) == 1


def test_files_with_slots_in_either_place_give_the_same_networks(unsliced, trained, tmp_path):
    tensors, known, hull = unsliced
    early = {"nasctl-supernet": json.dumps(known), "nasctl-hull": hull.text()}
    late = {"nasctl-supernet": json.dumps(known | {"slots": hull.text()})}
    for name, metadata in {"early": early, "late": late}.items():
        save_file(tensors, tmp_path / f"{name}.safetensors", metadata)
        module = TrainedSupernet(tmp_path / f"{name}.safetensors").module(GENOME)
        own = trained.module(GENOME).state_dict()
        assert all(torch.equal(value, own[key]) for key, value in module.state_dict().items())


def test_names_versions_and_needs(beside, trained):
    for measure_, direction, unit in (("accuracy", "max", "%"), ("loss", "min", "nats")):
        name, objective = make_objective(f"{measure_}@tiny")
        assert (name, objective.direction, objective.unit) == (f"{measure_}@tiny", direction, unit)
        assert objective.version == f"{trained.digest}-358"  # the validation part is smaller than 500 images
        name, fewer = make_objective(f"{measure_}@tiny,images=100")
        assert name == f"{measure_}@tiny,images=100"
        assert fewer.version == f"{trained.digest}-100"
        assert make_objective(f"{measure_}@{beside}")[0] == f"{measure_}@tiny"
        assert Task(registry.create("spaces", SPACE), {name: objective}).objectives[0].cost == "module"


def test_names_resolve_beside_the_store_of_a_command_and_of_a_search_from_python(store, path):
    words = ["objective", "score", "--space", SPACE, "-o", "loss@tiny", "--sample", "2", "--json"]
    done = CliRunner().invoke(cli, [*words, "--store", str(store)], catch_exceptions=False)
    rows = json.loads(done.stdout)
    words = ["supernet", "evaluate", "tiny", "--images", "500", "--json", "--store", str(store)]
    archs = [word for row in rows for word in ("--arch", ",".join(map(str, row["genome"])))]
    evaluated = json.loads(CliRunner().invoke(cli, [*words, *archs], catch_exceptions=False).stdout)
    assert [row["values"]["loss@tiny"] for row in rows] == [row["loss"] for row in evaluated]
    words = ["search", SPACE, "-o", "loss@tiny,macs", "--budget", "2", "--no-references", "--store", str(store)]
    said = CliRunner().invoke(cli, words, catch_exceptions=False).stderr
    assert " --weights tiny --store " in said.splitlines()[-1]
    found = nasctl.search(SPACE, objectives=("loss@tiny", "macs"), budget=2, references=False, store=store)
    assert len(found.evaluations) == 2
    assert found.run.asked["tables"]["loss@tiny"] == TrainedSupernet(path).digest + "-358"


def test_the_beginning_of_a_name_is_enough_where_it_is_the_only_one(tmp_path, path):
    store = tmp_path / "nasctl.db"
    for name in ("first-1", "first-2", "other"):
        (tmp_path / "nasctl-supernets" / name).mkdir(parents=True)
        (tmp_path / "nasctl-supernets" / name / "weights.safetensors").symlink_to(path)
    token = CURRENT_STORE.set(str(store))
    try:
        name, objective = make_objective("accuracy@oth")
        assert (name, objective.version) == ("accuracy@other", made("accuracy@other").version)
        with pytest.raises(NasctlError, match="several supernets begin with 'first': first-1, first-2; write more"):
            made("loss@first")
    finally:
        CURRENT_STORE.reset(token)
    assert supernet_named("oth", store).path.parent.name == "other"
    assert supernet_named("first", store) is None
    (tmp_path / "nasctl-trainings" / "other-training").mkdir(parents=True)
    assert supernet_named("oth", store) is None


def test_a_pickled_objective_holds_no_weights_and_has_the_same_values(beside):
    objective = made("loss@tiny")
    expected, pickled = value(objective), pickle.dumps(objective)
    assert len(pickled) < 1000
    assert value(pickle.loads(pickled)) == expected


def test_values_do_not_depend_on_the_order_of_candidates(beside):
    one, other = (3, 3, 3, 3, 3, 3), (1, 2, 3, 0, 1, 2)
    first = [value(made("loss@tiny"), genome=genome) for genome in (one, other, one, other, GENOME, one)]
    assert first[0] == first[2] == first[5]
    assert first[1] == first[3] == value(made("loss@tiny"), genome=other)


def test_remarks_say_what_was_trained_and_how_exact_values_are(beside, trained):
    first, second, third = made("accuracy@tiny").remarks(SPACE, trained.space.network(GENOME))
    assert first.startswith("weights of supernet tiny: sandwich:")
    assert "6 steps" in first
    assert "largest" in first
    assert "smallest" in first
    assert "358 validation images, all that its file has of 500" in second
    assert "standard error ±" in third
    assert "loss@tiny ranks better" in third


def test_other_spaces_are_refused_but_not_other_numbers_of_classes(beside, trained):
    for spec in ("nbmacro", "nb201:channels=8,cells=1,resolution=8", "nb201:channels=4,cells=1"):
        with pytest.raises(NasctlError, match=r"says nothing of this space: the supernet was trained on nb201"):
            refuse_inapplicable(registry.create("spaces", spec), {"accuracy@tiny": made("accuracy@tiny")})
    with pytest.raises(NasctlError, match="has other networks"):
        value(made("accuracy@tiny"), "nb201:channels=8,cells=1,resolution=8")
    more = f"{SPACE},classes=120"
    assert space_difference(trained, registry.create("spaces", more)) == ""
    assert value(made("accuracy@tiny"), more) == value(made("accuracy@tiny"))


def test_a_candidate_with_untrained_weights_fails(beside, store):
    short = TrainedSupernet(supernet(store, "short", strategy="single_path", steps=1))
    objective, genome = made("accuracy@short"), short.space.canonical((2,) * 6)
    task = Task(short.space, {"accuracy@short": objective})
    found = measure(task, genome, {"accuracy@short": "label"})["label"]
    assert found.value is None
    assert "no step of the supernet's training has reached the weights" in found.error
    (row,) = subnet_rows(short, [("", genome)], stored_batches(short, 10))
    assert row.result is None
    assert "no step" in row.failure


def test_refusals_of_names_and_options(beside, tmp_path):
    with pytest.raises(UnknownName, match="tiny"):
        made("accuracy@tyni")
    with pytest.raises(BadOption, match="images=1 or more"):
        made("loss@tiny,images=0")
    with pytest.raises(BadOption, match="its direction is max"):
        made("min:accuracy@tiny")
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(NasctlError, match="Cannot read the supernet"):
        made(f"loss@{tmp_path}/weights.safetensors")


def test_a_file_that_changes_is_refused(beside, tmp_path):
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(beside.read_bytes())
    pickled = pickle.dumps(made(f"loss@{copy}"))
    from nasctl.supernets import inherited_quality

    copy.write_bytes(supernet(tmp_path / "other.db", strategy="single_path", steps=1).read_bytes())
    inherited_quality._opened.cache_clear()
    inherited_quality._evaluated.cache_clear()
    with pytest.raises(NasctlError, match="its file has changed"):
        value(pickle.loads(pickled), genome=(3, 3, 3, 3, 2, 1))


def test_rows_of_the_extremes_and_of_named_data(trained):
    chosen = extremes_and_sample(trained, 3, 0)
    assert [name for name, _ in chosen] == ["largest", "smallest", "sample 1", "sample 2", "sample 3"]
    assert chosen == extremes_and_sample(trained, 3, 0)
    assert chosen != extremes_and_sample(trained, 3, 1)
    macs = {name: trained.space.network(genome).macs for name, genome in chosen}
    assert max(macs.values()) == macs["largest"]
    assert min(macs.values()) == macs["smallest"]
    here, there = stored_batches(trained, 120), named_batches(trained, "digits", 120)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_test_examples_are_those_of_the_split(beside, trained, store):
    from nasctl.training.labelled import training_data

    data = training_data("digits", trained.space.input, None, "0.7,0.2,0.1", 0, "classes")
    ((examples, labels), *others) = named_batches(trained, "digits", 1000, "test")
    assert sum(len(one) for _, one in ((examples, labels), *others)) == data.size("test") == 180
    known = {image.tobytes(): label for image, label in zip(*data.examples("test", np.arange(180)), strict=True)}
    assert all(known[one.numpy().tobytes()] == label for one, label in zip(examples, labels, strict=True))
    words = ["supernet", "evaluate", "tiny", "--arch", "3,2,1,3,0,3", "--part", "test", "--store", str(store)]
    assert "the supernet's file has none. Give --data" in CliRunner().invoke(cli, words).stderr
    done = CliRunner().invoke(cli, [*words, "--data", "digits"], catch_exceptions=False)
    assert "evaluating on 180 test images of digits" in done.stderr


def test_an_export_has_the_accuracy_of_the_objective(beside, store, trained, tmp_path):
    model = inherited_model(trained, (SPACE, GENOME))
    accuracy = value(made("accuracy@tiny"))
    assert 100 * model.trained.result["validation"]["accuracy"] == pytest.approx(accuracy)
    examples, labels = trained.validation
    with torch.no_grad():
        right = (model.deployed(examples.float()).argmax(1) == labels).float().mean().item()
    assert 100 * right == pytest.approx(accuracy, abs=1e-4)
    request = ExportRequest("3,2,1,3,0,3", ("torch",), tmp_path, store=str(store), weights="tiny")
    said = []
    model, exported = request.run(said.append)
    assert f"nasctl supernet evaluate tiny --arch {model.architecture.id} --data DATA --part test" in said[0]
    assert exported.files["torch"].accuracy.accuracy == pytest.approx(accuracy / 100)
    assert (model.classes, exported.paths["torch"].stem) == (tuple("0123456789"), model.architecture.id)


def test_exports_refuse_no_network_other_spaces_and_unknown_names(store, path):
    with pytest.raises(NasctlError, match=r"it has many networks. Give one with --arch"):
        ExportRequest(None, store=str(store), weights="tiny").run(print)
    with pytest.raises(NasctlError, match="this space has other genes"):
        ExportRequest("0,0,0,0,0,0,0,0", store=str(store), space="nbmacro", weights="tiny").run(print)
    with pytest.raises(NasctlError, match="no file, no supernet and no training of the store"):
        ExportRequest("3,2,1,3,0,3", store=str(store), space=SPACE, weights="tyni").run(print)


def request(store, **options):
    asked = {"split": "0.7,0.2,0.1", "start": Path("tiny"), "recipe": RecipeOptions(epochs=1)} | options
    return located(TrainRequest(("3,2,1,3,0,3",), "digits", SPACE, **asked), Store.reading(str(store)))


def test_a_training_begins_with_the_slices_of_its_network(store, path, trained):
    asked = request(store)
    ((training, data),) = asked.trainings(Store.reading(str(store)))
    file = asked.start_of(training.trained_space, training.genome)
    assert file.parent == path.parent / "slices"
    module = trained.space.network(training.genome).module()
    load_start(module, file, training.start)
    expected = subnet_state(trained, training.genome)
    assert all(torch.equal(one, expected[key]) for key, one in module.state_dict().items())
    result = evaluate_subnet(trained, training.genome, stored_batches(trained, 358))
    examples, labels = trained.validation
    with torch.no_grad():
        right = (module.eval()(*trained.inputs(training.genome, examples)).argmax(1) == labels).float().mean()
    assert right.item() == pytest.approx(result.accuracy)
    before = file.read_bytes()
    file.unlink()
    ((again, _),) = request(store).trainings(Store.reading(str(store)))
    assert (again.name, file.read_bytes()) == (training.name, before)  # the same training, which resumes
    assert start_doubts(asked, data) == []


def test_another_split_is_doubted_and_other_names_are_refused(store, path):
    asked = request(store, split="0.8,0.1,0.1")
    ((_, data),) = asked.trainings(Store.reading(str(store)))
    (doubt,) = start_doubts(asked, data)
    assert "Give --split 0.7,0.2,0.1 --split-seed 0" in doubt
    with pytest.raises(NasctlError, match=r"--from tyni is no file.*supernets: (short, )?tiny"):
        request(store, start=Path("tyni"))
    assert isinstance(request(store, start=path).slices, StartingSlices)
    with pytest.raises(NasctlError, match="Cannot take networks of nb201:canonical=true,cells=2"):
        located(
            TrainRequest(("3,2,1,3,0,3",), "digits", "nb201:cells=2,channels=4,resolution=8", start=Path("tiny")),
            Store.reading(str(store)),
        ).trainings(Store.reading(str(store)))
