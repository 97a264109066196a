"""A manifest as MLflow's dataset input."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import DatasetInput

MAX_DIGEST_LENGTH = 36  # MLflow's limit, in characters
SCHEMA_ROWS = 1000  # MLflow infers a schema value by value: 17 s for a million rows


def dataset_input(
    table: pd.DataFrame, source: str, name: str, context: str, digest: str | None
) -> DatasetInput:
    """Describe a table: name, digest over all rows (if None), columns, row count, source, use."""
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.entities import Dataset, DatasetInput, InputTag

    described = from_pandas(
        table.head(SCHEMA_ROWS),
        source=source,
        name=name,
        digest=(digest or _digest(table))[:MAX_DIGEST_LENGTH],
    ).to_dict()
    described["profile"] = json.dumps({"num_rows": len(table), "num_elements": table.size})
    return DatasetInput(Dataset(**described), [InputTag("mlflow.data.context", context)])


def _digest(table: pd.DataFrame) -> str:
    from pandas.util import hash_pandas_object

    digest = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    digest.update(hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()
