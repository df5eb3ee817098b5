//! A loaded model: bytes in, scores out, the same score for a row in whatever company.

use std::time::Duration;

use ort::ep::CPU;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};

use crate::deadline::within;
use crate::error::{OnnxError, Stage};
use crate::interface::require_canonical;
use crate::native::{Lowered, ModelExplainer, NativeModel, NotExplained};
use crate::one_file::require_one_file;
use crate::pool::SessionPool;
use crate::probe::{Invariance, probe, synthetic_rows};
use crate::run::run_block;
use crate::runtime::environment;

/// The most bytes a model may have.
pub const MAX_MODEL_BYTES: usize = 256 << 20;
/// How long loading, and then the check run, may take unless told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The most rows given to ONNX Runtime in one run. The probe goes up to the same number, so that
/// no larger batch is ever used than was tried.
pub const BLOCK_ROWS: usize = 256;

/// How far a native score may be from ONNX Runtime's.
const TOLERANCE: f64 = 1e-6;

/// What a model is to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// The native engine where it knows the model, ONNX Runtime for every other.
    Best,
    /// ONNX Runtime, whatever the model.
    OnnxRuntime,
}

/// An ONNX model which gives each row one score, ready to be called from many threads.
///
/// A model of trees runs in the native engine, if that gives the scores of ONNX Runtime on the check rows.
///
/// One row is to equal many, to the bit. So the model is probed at load, and if the score of any
/// probed row depends on its batch ([`Invariance::Variant`]), every row is scored in a run of its
/// own, which is slower and right by construction. A model that passes is scored in blocks of at
/// most [`BLOCK_ROWS`], on the evidence of the probe. Between two versions of ONNX Runtime or two
/// kinds of processor bits may differ all the same.
pub struct OnnxModel {
    pool: SessionPool,
    width: usize,
    invariance: Invariance,
    native: Result<Box<NativeModel>, String>,
}

impl OnnxModel {
    /// Load a model that takes `width` features, to be used by at most `sessions` threads at once.
    ///
    /// # Errors
    ///
    /// Those of [`load_within`](Self::load_within), with [`DEFAULT_DEADLINE`].
    pub fn load(bytes: &[u8], width: usize, sessions: usize, engine: EngineChoice) -> Result<Self, OnnxError> {
        Self::load_within(bytes, width, sessions, engine, DEFAULT_DEADLINE)
    }

    /// Load a model; loading and the check run may each take `deadline`.
    ///
    /// The model is one file of at most [`MAX_MODEL_BYTES`] with one input `features` float32
    /// `[N, width]` and one output `score` float32 `[N]`, N free. Each session holds a copy of it.
    ///
    /// # Errors
    ///
    /// [`OnnxError::NotInitialised`] before [`initialise`](crate::initialise); otherwise what is
    /// wrong with the model, or [`OnnxError::DeadlinePassed`].
    pub fn load_within(
        bytes: &[u8],
        width: usize,
        sessions: usize,
        engine: EngineChoice,
        deadline: Duration,
    ) -> Result<Self, OnnxError> {
        for (name, number) in [("width", width), ("sessions", sessions)] {
            if number == 0 {
                return Err(OnnxError::Zero { name });
            }
        }
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(OnnxError::ModelTooLarge { found: bytes.len(), limit: MAX_MODEL_BYTES });
        }
        require_one_file(bytes)?;
        // Before ONNX Runtime, which a cycle would keep for ever.
        let native = match NativeModel::load(bytes, width)? {
            _ if engine == EngineChoice::OnnxRuntime => Err("it was asked for".to_owned()),
            Lowered::Native(model) => Ok(model),
            Lowered::Unsupported(why) => Err(why.to_string()),
        };
        // Beside a native engine one session is enough, for comparison.
        let sessions = if native.is_ok() { 1 } else { sessions };
        let refused = |source| OnnxError::ModelRefused { source };
        let mut builder = session_builder()?;
        let canceller = builder.canceler();
        let stop = move || drop(canceller.cancel());
        let sessions = within(deadline, Stage::Load, stop, || {
            let mut loaded = vec![builder.commit_from_memory(bytes).map_err(refused)?];
            require_canonical(&loaded[0], width)?;
            for _ in 1..sessions {
                loaded.push(builder.commit_from_memory(bytes).map_err(refused)?);
            }
            Ok(loaded)
        })?;
        let pool = SessionPool::new(sessions);
        let mut model = Self { pool, width, invariance: Invariance::Invariant, native };
        let rows = synthetic_rows(BLOCK_ROWS, width);
        model.invariance = model.batch_invariant(&rows, deadline)?;
        model.fall_back_if_different(&rows, deadline)?;
        Ok(model)
    }

    /// The number of features in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The native engine, if the model runs in one; else why it does not.
    ///
    /// # Errors
    ///
    /// The node that only ONNX Runtime runs, in words.
    pub fn native(&self) -> Result<&NativeModel, &str> {
        self.native.as_deref().map_err(String::as_str)
    }

    /// For each feature, ascending, the numbers that the model distinguishes: its score changes only where a feature
    /// comes from below one of them to it or above, or back, or to or from missing. `None` if that is not known.
    #[must_use]
    pub fn thresholds(&self) -> Option<Vec<Vec<f32>>> {
        self.native.as_ref().ok().and_then(|native| native.thresholds())
    }

    /// Which engine scores, and, where that is ONNX Runtime, why.
    #[must_use]
    pub fn engine(&self) -> String {
        match &self.native {
            Ok(native) => native.engine_text(),
            Err(why) => format!("ONNX Runtime: {why}"),
        }
    }

    /// What says which feature contributed what to the logit of a score; made when first asked for.
    ///
    /// # Errors
    ///
    /// Why the model cannot be explained exactly.
    pub fn explainer(&self) -> Result<&ModelExplainer, NotExplained> {
        match &self.native {
            Ok(native) => native.explainer(),
            Err(why) => Err(NotExplained::because(format!("it runs in ONNX Runtime ({why})"))),
        }
    }

    /// Leaves the model to ONNX Runtime if the native engine gives any of `rows` another score.
    fn fall_back_if_different(&mut self, rows: &[f32], deadline: Duration) -> Result<(), OnnxError> {
        let Ok(native) = &self.native else { return Ok(()) };
        let count = rows.len() / self.width;
        let (mut scores, mut expected) = (vec![0.0; count], vec![0.0; count]);
        native.score(rows, &mut scores);
        let options = RunOptions::new().map_err(|source| OnnxError::Environment { source })?;
        within(
            deadline,
            Stage::Check,
            || drop(options.terminate()),
            || self.pool.lend(|session| run_block(session, &options, rows, 0, &mut expected)),
        )?;
        // Relative where a score is above 1, as those of a regression can be; NaN differs from nothing but a number.
        let differs = |(score, expected): (&f32, &f32)| {
            let difference = f64::from(*score) - f64::from(*expected);
            score.is_nan() != expected.is_nan() || difference.abs() > TOLERANCE * f64::from(expected.abs()).max(1.0)
        };
        if let Some(row) = scores.iter().zip(&expected).position(differs) {
            let (score, expected) = (scores[row], expected[row]);
            self.native = Err(format!("the native engine gave {score} where ONNX Runtime gave {expected}"));
        }
        Ok(())
    }

    /// What the probe found at load, and so whether rows are scored in blocks or one by one.
    #[must_use]
    pub fn invariance(&self) -> Invariance {
        self.invariance
    }

    /// Score `rows`, float32 `[N, width]` row-major, into `scores`, float32 `[N]`; NaN is missing.
    ///
    /// N is any number, 0 included. Rows are not copied. Threads beyond the number of sessions
    /// wait for one. After an error `scores` holds nothing of use.
    ///
    /// # Errors
    ///
    /// [`OnnxError::RowsLength`], [`OnnxError::NonFiniteScore`] naming the first such row, and
    /// [`OnnxError::Run`] or [`OnnxError::ScoreCount`] if the model fails.
    pub fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), OnnxError> {
        self.require_rows(rows.len(), scores.len())?;
        if let Ok(native) = &self.native {
            native.score(rows, scores);
            return require_finite(scores, 0);
        }
        self.score_in_onnxruntime(rows, scores)
    }

    /// Score rows as [`score`](Self::score) does, in ONNX Runtime whatever the engine is.
    ///
    /// # Errors
    ///
    /// Those of [`score`](Self::score).
    pub fn score_in_onnxruntime(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), OnnxError> {
        self.require_rows(rows.len(), scores.len())?;
        let block_rows = match self.invariance {
            Invariance::Invariant => BLOCK_ROWS,
            Invariance::Variant(_) => 1,
        };
        self.pool.lend(|session| {
            let options = RunOptions::new().map_err(|source| OnnxError::Environment { source })?;
            let blocks = rows.chunks(block_rows * self.width).zip(scores.chunks_mut(block_rows));
            for (block, (rows, scores)) in blocks.enumerate() {
                let first_row = block * block_rows;
                run_block(session, &options, rows, first_row, scores)?;
                require_finite(scores, first_row)?;
            }
            Ok(())
        })
    }

    /// Tell whether each of `rows`, float32 `[N, width]`, has the same score in any company.
    ///
    /// # Errors
    ///
    /// [`OnnxError::RowsLength`] if the last row is short, [`OnnxError::DeadlinePassed`], and
    /// those of a run.
    pub fn batch_invariant(&self, rows: &[f32], deadline: Duration) -> Result<Invariance, OnnxError> {
        self.require_rows(rows.len(), rows.len() / self.width)?;
        let options = RunOptions::new().map_err(|source| OnnxError::Environment { source })?;
        let stop = || drop(options.terminate());
        within(deadline, Stage::Check, stop, || {
            self.pool.lend(|session| probe(session, &options, rows, self.width, BLOCK_ROWS))
        })
    }

    fn require_rows(&self, values: usize, rows: usize) -> Result<(), OnnxError> {
        if rows.checked_mul(self.width) == Some(values) {
            return Ok(());
        }
        Err(OnnxError::RowsLength { rows, width: self.width, found: values })
    }
}

/// Session options under which a model computes what is written in it, in that order.
///
/// One thread, since with more a row's bits change with the batch. No graph optimisation: none
/// rewrites the arithmetic, and no constant is folded, so a tiny file cannot grow at load. No
/// memory pattern, which is for batches of one size. No arena, which never gives memory back.
fn session_builder() -> Result<SessionBuilder, OnnxError> {
    let environment = environment()?;
    let configured = || -> ort::Result<SessionBuilder> {
        Ok(Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::Disable)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_deterministic_compute(true)?
            .with_memory_pattern(false)?
            .with_execution_providers([CPU::default().with_arena_allocator(false).build()])?
            .with_config_entry("session.load_model_format", "ONNX")?
            .with_log_level(LogLevel::Fatal)?)
    };
    configured().map_err(|source| OnnxError::Environment { source })
}

fn require_finite(scores: &[f32], first_row: usize) -> Result<(), OnnxError> {
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(row) => Err(OnnxError::NonFiniteScore { row: first_row + row, score: scores[row] }),
    }
}
