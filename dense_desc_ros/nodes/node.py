"""The node: RGB-D frames come in over topics, grasps for every registered reference go out."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

import torch

from dense_desc_ros.descriptors import DescriptorModel
from dense_desc_ros.errors import WeightsError
from dense_desc_ros.nodes.camera_pose import FixedPose, camera_pose_source
from dense_desc_ros.nodes.camera_topics import CameraSubscriptions, topic_names
from dense_desc_ros.nodes.clicked_point import ClickedPoints
from dense_desc_ros.nodes.diagnostics import Diagnostics
from dense_desc_ros.nodes.frame_worker import FrameWorker
from dense_desc_ros.nodes.lifecycle import ManagedNode
from dense_desc_ros.nodes.parameter_changes import (
    check_change,
    check_values,
    declare_parameters,
    watch_parameters,
)
from dense_desc_ros.nodes.parameters import NodeParameters
from dense_desc_ros.nodes.process import log_refused
from dense_desc_ros.nodes.results import ResultPublishers
from dense_desc_ros.nodes.services import Services
from dense_desc_ros.nodes.transforms import Transforms, transforms
from dense_desc_ros.nodes.views import ViewPublishers
from dense_desc_ros.pipeline import GraspPipeline
from dense_desc_ros.reference_store import ReferenceStore

NODE_NAME = "descriptor_node"
ALL_THREADS = torch.get_num_threads()  # as many as torch takes when nobody tells it


class DescriptorNode(ManagedNode):
    """Configured it has the model, the references, services and topics to publish on; active it
    also receives frames, and works on them.

    Attributes:
        worker: does the work; None unless the node is configured.

    Raises:
        rclpy.exceptions.ParameterException: a parameter of the wrong type or out of its range.
    """

    def __init__(self) -> None:
        super().__init__(NODE_NAME)
        self.worker: FrameWorker | None = None
        self._parameters_now = declare_parameters(self)
        watch_parameters(self, self._parameters_now, self._check, self._apply)

    @property
    def autostart(self) -> bool:
        """Whether the node is to configure and activate itself."""
        return self._parameters_now.autostart

    @contextmanager
    def configuration(self) -> Iterator[None]:
        parameters = self._parameters_now
        check_values(parameters)
        pipeline = _load_pipeline(parameters)
        with (
            camera_pose_source(self, parameters) as pose,
            closing(ResultPublishers(self)) as results,
            closing(ViewPublishers(self)) as views,
            closing(FrameWorker(self, parameters, pipeline, pose, results, views)) as worker,
            closing(Services(self, worker)),
            closing(
                Diagnostics(self, worker, _description(parameters, pipeline.model))
            ) as self._diagnostics,
        ):
            self.worker = worker
            self.get_logger().info(
                f"ready: {len(pipeline.store)} references from {pipeline.store.folder}"
            )
            try:
                yield
            finally:
                self.worker = None
                del self._diagnostics

    @contextmanager
    def activation(self) -> Iterator[None]:
        worker, parameters = self.worker, self._parameters_now
        assert worker is not None  # rclpy activates configured nodes only
        topics = topic_names(self, parameters)
        with (
            _depth_transforms(self, parameters) as depth_transforms,
            worker.working(depth_transforms),
            closing(
                CameraSubscriptions(self, parameters, worker.synchronizer, worker.frame_is_ready)
            ),
            closing(ClickedPoints(self, worker)),
            self._diagnostics.expecting_frames(topics),
        ):
            self.get_logger().info(f"waiting for {', '.join(topics.values())}")
            yield

    def release(self) -> None:
        super().release()
        _give_memory_back()

    def survive(self, error: Exception) -> None:
        """Tell of a message that raised before it came to any of our code.

        Some middlewares raise for what they cannot deserialise.
        """
        if self.worker is None:
            log_refused(self, error)
        else:
            self.worker.refuse("malformed", repr(error))

    def _check(self, changed: NodeParameters) -> None:
        """Raise InvalidInputError if these parameters cannot replace those of now."""
        if self.worker is None:
            return  # until the node is configured they need not fit together
        check_change(self._parameters_now, changed, self.worker.is_active)
        if changed.camera_pose:
            FixedPose(changed.base_frame, changed.camera_pose)

    def _apply(self, changed: NodeParameters) -> None:
        self._parameters_now = changed
        if self.worker is not None:
            self.worker.apply(changed)


def _depth_transforms(
    node: DescriptorNode, parameters: NodeParameters
) -> AbstractContextManager[Transforms | None]:
    """What tells where the depth camera is, if that is needed and the parameters do not."""
    if parameters.aligned_depth or parameters.depth_pose:
        return nullcontext()
    return transforms(
        node,
        "aligned_depth is false: give the pose of the depth camera in the colour camera with the "
        "parameter depth_pose",
    )


def _load_pipeline(parameters: NodeParameters) -> GraspPipeline:
    if not parameters.weights:
        raise WeightsError("the parameter weights is not set: give the file of a model")
    settings = parameters.settings
    torch.set_num_threads(parameters.threads or ALL_THREADS)
    weights = Path(parameters.weights).expanduser()
    model = DescriptorModel.load(weights, parameters.device, parameters.precision)
    store = ReferenceStore(Path(parameters.references).expanduser(), model.fingerprint)
    return GraspPipeline(model, store, settings)


def _description(parameters: NodeParameters, model: DescriptorModel) -> dict[str, str]:
    """What diagnostics say of the model."""
    return {
        "device": str(model.device),
        "precision": model.precision,
        "threads": str(torch.get_num_threads()),
        "weights": parameters.weights,
        "weights_fingerprint": model.fingerprint,
    }


def _give_memory_back() -> None:
    """Leave to the system and to other processes what is freed here: it would be kept for reuse."""
    gc.collect()
    torch.cuda.empty_cache()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
        trim(0)
