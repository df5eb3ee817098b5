"""The contenders, one file each: propense and its peers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Where a contender is written, and the packages that it needs."""

    path: str
    packages: tuple[str, ...] = ()


_HERE = "propense.bench.peers"

KINDS = {
    "propense_features": Kind(f"{_HERE}.propense_features:PropenseFeatures"),
    "polars_features": Kind(f"{_HERE}.polars_features:PolarsFeatures"),
    "duckdb_features": Kind(f"{_HERE}.duckdb_features:DuckdbFeatures", ("duckdb",)),
    "chdb_features": Kind(f"{_HERE}.chdb_features:ChdbFeatures", ("chdb",)),
    "propense_forest": Kind(f"{_HERE}.propense_forest:PropenseForest"),
    "onnxruntime_forest": Kind(f"{_HERE}.onnxruntime_forest:OnnxRuntimeForest"),
    "lightgbm_forest": Kind(f"{_HERE}.lightgbm_forest:LightgbmForest", ("lightgbm",)),
    "xgboost_forest": Kind(f"{_HERE}.xgboost_forest:XgboostForest", ("xgboost",)),
    "tl2cgen_forest": Kind(f"{_HERE}.tl2cgen_forest:Tl2cgenForest", ("tl2cgen", "treelite")),
    "propense_fusion": Kind(f"{_HERE}.propense_fusion:PropenseFusion"),
    "propense_stages": Kind(f"{_HERE}.propense_stages:PropenseStages"),
    "polars_fusion": Kind(f"{_HERE}.polars_fusion:PolarsFusion"),
    "machine_cores": Kind(f"{_HERE}.machine_cores:MachineCores"),
}
