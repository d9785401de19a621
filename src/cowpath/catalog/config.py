"""What the catalog must be told to reach Glance."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GlanceConfig:
    """Where Glance is and who we are.

    Attributes:
        cloud: A cloud of clouds.yaml; empty: OS_CLOUD or the OS_* variables.
        auth_type: A keystoneauth plugin; empty: the cloud's.
        auth: The plugin's options. Holds secrets, hence not in `repr`.
        endpoint: The image service's root URL; empty: the service catalogue's.
        region: Empty: the cloud's.
        interface: public, internal or admin; empty: the cloud's.
        group: The configuration's group that all this stands in, for messages.
    """

    cloud: str = ""
    auth_type: str = ""
    auth: Mapping[str, str] = field(default_factory=dict, repr=False)
    endpoint: str = ""
    region: str = ""
    interface: str = ""
    group: str = "cowpath"
