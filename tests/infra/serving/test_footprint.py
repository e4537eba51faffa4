import subprocess
import sys

_WORKER = """
import sys
import infra.serving.worker
import gc
from infra.serving.footprint import give_back, keep_small, settle
assert "pandas" not in sys.modules, "importing the worker brings it in"
keep_small()
import pyarrow as pa
import pyarrow.parquet as pq
table = pa.table({"item_id": ["a", None], "seconds": [1.5, 2.0]})
pq.write_table(table, sys.argv[1])
assert pq.read_table(sys.argv[1]).equals(table)
assert pa.default_memory_pool().backend_name == "system"
assert "pandas" not in sys.modules
settle()
assert gc.get_freeze_count() > 10_000
assert len(gc.get_objects()) < 1_000, "the collector sees what was imported"
give_back()
"""


def test_a_worker_holds_no_pandas_and_arrow_works_without_it(tmp_path):
    command = [sys.executable, "-c", _WORKER, str(tmp_path / "table.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_holds_pandas_keeps_it_when_it_is_made_small():
    code = "import sys, pandas; from infra.serving.footprint import keep_small; keep_small(); pandas.DataFrame"
    code += "; assert sys.modules['pandas'] is pandas"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
