"""From descriptors to grasps: where the point of a reference is, how it is turned, what fits."""
