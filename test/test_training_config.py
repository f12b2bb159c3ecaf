"""Training configurations: the files that are shipped, and mistakes in files."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dense_desc_ros.cli import app
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.training.config import TrainingConfig

CONFIGURATIONS = Path(__file__).parent.parent / "config" / "train"
SHIPPED = sorted(CONFIGURATIONS.glob("*.yaml"))
SMALL = """
twins: {path: data/caps, crop: [96, 128]}
keypoint: {}
network: {keypoints: 4}
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_read_and_saved_unchanged(path, tmp_path):
    config = TrainingConfig.load(path)
    config.save(tmp_path / "config.json")
    assert TrainingConfig.load(tmp_path / "config.json") == config


def test_the_keypoint_configuration_is_the_papers():
    config = TrainingConfig.load(CONFIGURATIONS / "caps_keypoint.yaml")
    assert config.network.backbone == "resnet34" and config.network.keypoints == 128
    weights = config.keypoint.weights
    assert weights == type(weights)() and weights.variance == 1e-3
    assert config.keypoint.margin == 2 and config.optimisation.batch_size == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SMALL + "steps: 5", "unknown key steps: expected one of .*optimisation"),
        (SMALL + "optimisation: {rate: 0.1}", "unknown key optimisation.rate"),
        ("twins: {crop: [96, 128]}", "key twins.path is missing"),
        (SMALL + "optimisation: {steps: many}", "optimisation.steps must be a whole number"),
        (SMALL + "optimisation: {steps: true}", "optimisation.steps must be a whole number"),
        (SMALL + "optimisation: {steps: -1}", "optimisation: steps must be positive"),
        (SMALL + "optimisation: {precision: half}", "optimisation: unknown precision 'half'"),
        (SMALL + "pretrained: maybe", "pretrained must be true or false"),
        (SMALL.replace("[96, 128]", "[96]"), "twins.crop must be a list of 2"),
        (SMALL.replace("[96, 128]", "[96, 100]"), "twins: crop .* multiples of 32"),
        (SMALL.replace("[96, 128]", "[96, x]"), r"twins.crop\[1\] must be a whole number"),
        (SMALL.replace("{}", "5"), "keypoint must be a table"),
        (SMALL.replace("{}", "{weights: {silhouette: big}}"), "keypoint.weights.silhouette must"),
        (SMALL.replace("{keypoints: 4}", "{backbone: vgg}"), "network: unknown backbone 'vgg'"),
        (SMALL.replace("{keypoints: 4}", "{}"), "network.keypoints is 0"),
        (SMALL.replace("keypoint: {}", ""), "at least one objective must be given"),
        (SMALL + "initial_weights: w\npretrained: true", "initial_weights take the place"),
        (SMALL + "fixed_statistics: true", "are those of initial_weights"),
        ("", "exactly one of pictures and twins"),
        ("- 5", "the file must be a table"),
        ("twins: [", "cannot read configuration"),
        ("\x00", "cannot read configuration"),
    ],
)
def test_mistakes_are_named_with_file_and_key(file, text, reason):
    path = file(text)
    with pytest.raises(DataError, match=reason) as caught:
        TrainingConfig.load(path)
    assert str(path) in str(caught.value)


def test_numbers_are_read_as_yaml_writes_them(file):
    config = TrainingConfig.load(file(SMALL + "optimisation: {learning_rate: 1e-3}"))
    assert config.optimisation.learning_rate == 1e-3
    config = TrainingConfig.load(file(SMALL + "optimisation: {learning_rate: 1}"))
    assert config.optimisation.learning_rate == 1.0


@pytest.mark.parametrize(
    ("background", "reason"), [("-1", "must not be negative"), ("64", "background needs twins")]
)
def test_backgrounds_to_tell_from_need_masks(file, background, reason):
    text = f"pictures: {{path: p}}\nntxent: {{background: {background}}}"
    with pytest.raises(DataError, match=reason):
        TrainingConfig.load(file(text))


def test_instances_can_be_mixed_for_ntxent_only(file):
    config = TrainingConfig.load(file(SMALL))
    with pytest.raises(InvalidInputError, match="other_instances must be 0"):
        replace(config, twins=replace(config.twins, other_instances=0.5))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "give either --config or --images"),
        (["--config", "a.yaml", "--images", "b"], "give either --config or --images"),
        (["--config", "a.yaml", "--backbone", "resnet34"], "--backbone is not for --config"),
        (["--config", "a.yaml"], "cannot read configuration a.yaml"),
        (["--images", "b", "--data", "c"], "--data is not for --images"),
        (["--images", "b", "--objective", "keypoint"], "is for the objective ntxent"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, reason):
    result = CliRunner().invoke(app, ["train", *options])
    assert reason in str(result.exception)
