"""Here so that the helpers beside it (toy_video, golden_rule, …) can be imported from every folder of tests."""
