"""A deployment of Ray Serve that does nothing; run by the Python of an environment that holds Ray.

`python ray_noop.py PORT FOLDER`. It joins no other cluster, and keeps what it writes in the folder.
"""

import signal
import sys

import ray  # type: ignore[import-not-found]  # in an environment of its own
from ray import serve


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Noop:
    """Answers zero."""

    async def __call__(self, _request: object) -> dict[str, int]:
        """Answer zero."""
        return {"answer": 0}


def main() -> None:
    """Serve until SIGTERM."""
    port, folder = int(sys.argv[1]), sys.argv[2]
    ray.init(address="local", _temp_dir=folder, include_dashboard=False, num_cpus=2, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Noop.bind(), route_prefix="/")  # type: ignore[attr-defined]  # Ray's decorator adds it
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
