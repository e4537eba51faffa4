"""The leakage audit: does the test part reach a model by another way than through what a served model would know?"""

from recmodels.evaluation.leakage.audit import audit
from recmodels.evaluation.leakage.findings import Finding, LeakageConfig, LeakageReport, Severity

__all__ = ["Finding", "LeakageConfig", "LeakageReport", "Severity", "audit"]
