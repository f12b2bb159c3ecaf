"""The transitions of a managed node: each says why it fails, and leaves nothing half done."""

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from dense_desc_ros.errors import DenseDescError


class ManagedNode(LifecycleNode):
    """A node that has one thing while it is configured, and another on top while it is active.

    A transition whose fault is the user's (a file, a parameter) fails and can be tried again. Any
    other exception is a bug: it is logged, and the node lets go of everything and is unconfigured.

    Args:
        name: of the node.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._configuration, self._activation = ExitStack(), ExitStack()

    @property
    def is_configuring(self) -> bool:
        """Whether it is just now, which may take seconds."""
        return bool(self._state_machine.current_state[1] == "configuring")

    def configuration(self) -> AbstractContextManager[object]:
        """What the node has from `configure` to `cleanup`; raises if it cannot be had."""
        raise NotImplementedError

    def activation(self) -> AbstractContextManager[object]:
        """What the node has besides from `activate` to `deactivate`; raises if it cannot be had."""
        raise NotImplementedError

    def start(self) -> bool:
        """Configure and activate; whether both succeeded."""
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def release(self) -> None:
        """Let go of all that the node has, whatever its state."""
        self._activation.close()
        self._configuration.close()

    def destroy_node(self) -> None:
        """Leave the ROS graph."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()  # rclpy forgets it, and the node stays

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt(
            "configure", lambda: self._configuration.enter_context(self.configuration())
        )

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("activate", lambda: self._activation.enter_context(self.activation()))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("deactivate", self._activation.close)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("clean up", self.release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("shut down", self.release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("recover", self.release)

    def _attempt(self, what: str, step: Callable[[], object]) -> TransitionCallbackReturn:
        try:
            step()
        except (DenseDescError, OSError) as error:
            self.get_logger().error(f"cannot {what}: {' '.join(str(error).split())}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            if not self.context.ok():  # the process was told to end: nothing can be made any more
                return TransitionCallbackReturn.FAILURE
            # rclpy would not say a word.
            self.get_logger().error(f"cannot {what}: internal error\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS
