"""What a user of the node does besides calling its own services: parameters and transitions."""

from collections.abc import Mapping

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.task import Future

from dense_desc_ros.nodes.client import DescriptorClient

TIMEOUT = 600.0  # s for an answer, on a machine that is busy with other work


class NodeControl:
    """Sets parameters of a running node and takes it through its lifecycle.

    Args:
        client: of the node.
    """

    def __init__(self, client: DescriptorClient) -> None:
        self._client = client
        ros, name = client.node, client.name
        self._set = ros.create_client(SetParameters, f"{name}/set_parameters")
        self._change = ros.create_client(ChangeState, f"{name}/change_state")
        for service in (self._set, self._change):
            client.wait(service.service_is_ready, service.srv_name, TIMEOUT)

    def set(self, values: Mapping[str, object]) -> list[SetParametersResult]:
        """Set parameters, each for itself; the results in their order."""
        return self.set_messages(
            [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        )

    def set_messages(self, parameters: list[ParameterMessage]) -> list[SetParametersResult]:
        """Set parameters given as messages, which may be of any kind."""
        future = self.send(parameters)
        self._client.wait(future.done, "an answer of set_parameters", TIMEOUT)
        return list(future.result().results)

    def send(self, parameters: list[ParameterMessage]) -> Future:
        """Set parameters, without waiting for the results."""
        return self._set.call_async(SetParameters.Request(parameters=parameters))

    def change(self, transition: str) -> bool:
        """Ask for a transition by its label, such as "deactivate"; whether it succeeded."""
        request = ChangeState.Request(transition=Transition(label=transition))
        future = self._change.call_async(request)
        self._client.wait(future.done, f"an answer to {transition}", TIMEOUT)
        return bool(future.result().success)
