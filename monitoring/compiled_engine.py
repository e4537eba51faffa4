"""Great Expectations' pandas engine, with the metrics that have a form in SQL answered from one scan.

Checkpoints, verdicts, results and Data Docs stay Great Expectations' own; where a metric's value comes from differs.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Final, Literal

from monitoring.compiled import Condition, Figure, Form, Repetition, form_of
from monitoring.compiled_scan import Scan

_CONDITION: Final = ".condition"
_COUNT: Final = ".unexpected_count"
_VALUES: Final = ".unexpected_values"
_CONSIDERED: Final = ".filtered_row_count"
_NOT_LISTED: Final = (".unexpected_index_list", ".unexpected_index_query")
_SUFFIXES: Final = (_CONDITION, _COUNT, _VALUES, _CONSIDERED, *_NOT_LISTED)
_DEFAULT_LIMIT: Final = 20


class Answers:
    """What one scan knows of the metrics of one batch.

    Args:
        scan: The rows of the batch.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._measured: dict[Form, object] = {}

    def answer(self, metrics: Iterable[Any]) -> dict[object, object]:
        """Return the values of those metrics that have a form, by the metric's id.

        Great Expectations asks for all conditions and figures of a suite together, so that they are one pass; then for
        the counts, which are known by now, and for examples of unexpected values, which are one bounded query.
        """
        answers: dict[object, object] = {}
        forms: dict[object, tuple[str, Form, Any]] = {}
        for metric in metrics:
            if metric.metric_name == "table.row_count":
                answers[metric.id] = self._scan.num_rows
            elif metric.metric_name == "table.columns":
                answers[metric.id] = list(self._scan.schema.names)
            else:
                suffix = next((s for s in _SUFFIXES if metric.metric_name.endswith(s)), "")
                arguments = {**metric.metric_domain_kwargs, **metric.metric_value_kwargs}
                form = form_of(metric.metric_name.removesuffix(suffix), arguments, self._scan.schema)
                if form is not None:
                    forms[metric.id] = (suffix, form, arguments)
        self._measure([form for suffix, form, _ in forms.values() if suffix not in _NOT_LISTED])
        return {**answers, **self._values(forms)}

    def _measure(self, forms: Iterable[Form]) -> None:
        new = [form for form in dict.fromkeys(forms) if form not in self._measured]
        self._measured.update(zip(new, self._scan.measure(new), strict=True))

    def _values(self, forms: Mapping[object, tuple[str, Form, Any]]) -> dict[object, object]:
        values: dict[object, object] = {}
        listed: dict[object, Condition | Repetition] = {}
        limit = _DEFAULT_LIMIT
        for key, (suffix, form, arguments) in forms.items():
            if isinstance(form, Figure) or suffix == _COUNT:
                values[key] = self._measured[form]
            elif suffix == _VALUES and self._measured[form]:
                limit = arguments["result_format"]["partial_unexpected_count"]
                listed[key] = form
            elif suffix == _VALUES:
                values[key] = []
            elif suffix == _CONSIDERED and isinstance(form, Repetition):
                values[key] = self._scan.considered(form)
            else:  # a condition is asked for only by metrics that are answered here, and rows have no index
                values[key] = None
        found = self._scan.unexpected(list(listed.values()), limit=limit)
        return {**values, **dict(zip(listed, found, strict=True))}


def open_source(context: Any) -> Any:
    """Add a data source whose engine answers from `get_execution_engine().answers`, and return it."""
    _define_source()
    return context.data_sources.add_scanned_tables("tables")


@cache
def _define_source() -> None:
    """Define the type of the data source; Great Expectations takes every subclass into its catalogue, once."""
    from great_expectations.datasource.fluent import PandasDatasource
    from great_expectations.execution_engine import PandasExecutionEngine

    class ScanningEngine(PandasExecutionEngine):  # type: ignore[misc] # Great Expectations has no types here
        answers: Answers | None = None

        def resolve_metrics(
            self, metrics_to_resolve: Iterable[Any], metrics: Any = None, runtime_configuration: Any = None
        ) -> dict[Any, Any]:
            wanted = list(metrics_to_resolve)
            answered = {} if self.answers is None else self.answers.answer(wanted)
            rest = [metric for metric in wanted if metric.id not in answered]
            resolved = super().resolve_metrics(rest, metrics, runtime_configuration) if rest else {}
            return {**answered, **resolved}

    class ScannedTables(PandasDatasource):  # type: ignore[misc]
        type: Literal["scanned_tables"] = "scanned_tables"
        execution_engine_override: ClassVar[Any] = ScanningEngine
