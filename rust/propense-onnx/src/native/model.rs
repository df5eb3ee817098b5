//! A model that scores natively: arithmetic before the trees, the trees, arithmetic after them.

use propense_core::forest::{Forest, ForestError};

use crate::error::OnnxError;

use super::explanation::{Explainable, ModelExplainer, NotExplained};
use super::file::read_model;
use super::graph::{Parts, take_apart};
use super::monotone::steps_before;
use super::program::{Binary, Operation, Program, Registers, TILE, Unary};
use super::stop::{Stop, Unsupported};

/// Rows that go through the trees at once; their sums stay in cache until the arithmetic after.
const BLOCK_ROWS: usize = 8 * TILE;

/// The most nodes on the way to a leaf. ONNX Runtime, which loads every model too, recurses into trees, and one that
/// is tens of thousands deep overflows its stack.
const MAX_DEPTH: usize = 2_000;

/// What became of a model.
#[derive(Debug)]
pub enum Lowered {
    /// It scores natively.
    Native(Box<NativeModel>),
    /// It is for ONNX Runtime, and why.
    Unsupported(Unsupported),
}

/// A canonical model of trees, ready to score from any number of threads.
///
/// A row's score is within 1e-6 of ONNX Runtime's and has the same bits in any company, on any
/// number of threads and any processor.
#[derive(Debug)]
pub struct NativeModel {
    forest: Forest,
    /// The columns that the trees read, where they are not the features themselves.
    before: Option<Program>,
    after: Program,
    width: usize,
    reads: Vec<bool>,
    explainable: Explainable,
}

impl NativeModel {
    /// Lower a canonical model, `features` float32 `[N, width]` to `score` float32 `[N]`.
    ///
    /// # Errors
    ///
    /// [`OnnxError::ModelMalformed`], [`OnnxError::ExternalData`], or [`OnnxError::TreesMalformed`]
    /// naming the node. What is merely not known is [`Lowered::Unsupported`].
    pub fn load(bytes: &[u8], width: usize) -> Result<Lowered, OnnxError> {
        let lowered = read_model(bytes).map_err(Stop::from).and_then(|model| {
            let parts = take_apart(&model, width)?;
            Self::compile(parts, width)
        });
        match lowered {
            Ok(model) => Ok(Lowered::Native(Box::new(model))),
            Err(Stop::Unsupported(unsupported)) => Ok(Lowered::Unsupported(unsupported)),
            Err(Stop::Malformed { node, problem }) => Err(OnnxError::TreesMalformed { node, problem }),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    fn compile(parts: Parts, width: usize) -> Result<Self, Stop> {
        let Parts { builder, mut pool, score } = parts;
        let instructions = builder.instructions;
        if pool.is_empty() {
            return Err(Stop::because("the model has no trees"));
        }
        let columns = pool.columns();
        let feature = |register: u32| match instructions[register as usize].operation {
            Operation::Input(column) if (column as usize) < width => Some(column),
            _ => None,
        };
        let plain = columns.iter().all(|&register| feature(register).is_some());
        let (before, ensemble) = if plain {
            (None, pool.ensemble(width, |register| feature(register).unwrap_or(u32::MAX)))
        } else {
            let before = Program::of(&instructions, &columns);
            require_exact(&before, width)?;
            let place = |register: u32| columns.binary_search(&register).map_or(u32::MAX, |place| place as u32);
            (Some(before), pool.ensemble(columns.len(), place))
        };
        let forest = Forest::compile(&ensemble).map_err(|error| refused(&pool, error))?;
        if forest.depth() > MAX_DEPTH {
            let problem = format!("a tree is {} nodes deep; at most {MAX_DEPTH} are accepted", forest.depth());
            return Err(Stop::malformed(problem).at(pool.place(0)));
        }
        let after = Program::of(&instructions, &[score]);
        if after.inputs().iter().any(|&input| (input as usize) < width) {
            return Err(Stop::because("the score depends on features beside the trees"));
        }
        let mut reads = vec![false; width];
        match &before {
            None => reads.copy_from_slice(forest.reads()),
            Some(before) => before.inputs().iter().for_each(|&feature| reads[feature as usize] = true),
        }
        let after = after.without_inputs(width as u32);
        let covers = pool.take_covers(ensemble.nodes.len());
        let explainable = Explainable::new(ensemble, covers, before.is_none(), &after);
        Ok(Self { forest, before, after, width, reads, explainable })
    }

    /// The number of features in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Which features have any influence on the score.
    #[must_use]
    pub fn reads(&self) -> &[bool] {
        &self.reads
    }

    /// For each feature, ascending, the numbers that the trees distinguish: a score changes only where a feature comes
    /// from below one of them to it or above, or back, or to or from missing. `None` if the arithmetic before the
    /// trees does not say.
    #[must_use]
    pub fn thresholds(&self) -> Option<Vec<Vec<f32>>> {
        match &self.before {
            None => Some(self.forest.steps().to_vec()),
            Some(before) => steps_before(before, self.forest.steps(), self.width),
        }
    }

    /// The engine that runs the trees and why, in words.
    #[must_use]
    pub fn engine_text(&self) -> String {
        format!("{}: {}", self.forest.engine(), self.forest.why())
    }

    /// What says which feature contributed what to the logit of a score; made when first asked for.
    ///
    /// # Errors
    ///
    /// Why there is none for this model, such as a file that does not say how many training rows came by each node.
    pub fn explainer(&self) -> Result<&ModelExplainer, NotExplained> {
        self.explainable.explainer()
    }

    /// Score `rows`, float32 `[N, width]` row-major, into `scores`, float32 `[N]`; NaN is missing.
    ///
    /// Scores are given as they come, finite or not. Rows beyond the shorter of the two are left.
    pub fn score(&self, rows: &[f32], scores: &mut [f32]) {
        let block = BLOCK_ROWS.min(scores.len());
        let outputs = self.forest.outputs();
        let mut sums = vec![0.0; block * outputs];
        let mut registers = self.after.registers();
        let mut prepared = self.before.as_ref().map(|before| Preparation::new(before, self.forest.width(), block));
        for (rows, scores) in rows.chunks(BLOCK_ROWS * self.width).zip(scores.chunks_mut(BLOCK_ROWS)) {
            let count = scores.len().min(rows.len() / self.width);
            let rows = &rows[..count * self.width];
            let sums = &mut sums[..count * outputs];
            match &mut prepared {
                None => self.forest.score(rows, sums),
                Some(prepared) => self.forest.score(prepared.fill(rows, self.width), sums),
            }
            for (sums, scores) in sums.chunks(TILE * outputs).zip(scores[..count].chunks_mut(TILE)) {
                self.after.run(sums, outputs, &mut registers, scores);
            }
        }
    }
}

/// The columns that the trees read, of a block of rows.
struct Preparation<'p> {
    program: &'p Program,
    registers: Registers,
    columns: usize,
    values: Vec<f32>,
}

impl<'p> Preparation<'p> {
    fn new(program: &'p Program, columns: usize, rows: usize) -> Self {
        Self { program, registers: program.registers(), columns, values: vec![0.0; rows * columns] }
    }

    fn fill(&mut self, rows: &[f32], width: usize) -> &[f32] {
        let values = &mut self.values[..rows.len() / width * self.columns];
        for (rows, values) in rows.chunks(TILE * width).zip(values.chunks_mut(TILE * self.columns)) {
            self.program.run(rows, width, &mut self.registers, values);
        }
        values
    }
}

/// Before the trees a last bit decides on the leaf, so only what is exact may stand there.
fn require_exact(before: &Program, width: usize) -> Result<(), Stop> {
    if before.inputs().iter().any(|&input| input as usize >= width) {
        return Err(Stop::because("trees read what other trees give"));
    }
    let exact = before.instructions().iter().all(|instruction| match instruction.operation {
        Operation::Input(_) | Operation::Constant(_) => true,
        Operation::Unary(kind, _) => {
            instruction.single && matches!(kind, Unary::Negate | Unary::Absolute | Unary::Reciprocal)
        }
        Operation::Binary(kind, _, _) => {
            let arithmetic = [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Impute];
            instruction.single && arithmetic.contains(&kind)
        }
    });
    if exact { Ok(()) } else { Err(Stop::because("the arithmetic before the trees has no exact last bit")) }
}

/// What a forest refuses is damaged, unless it is merely large.
fn refused(pool: &super::trees::Pool, error: ForestError) -> Stop {
    match error {
        ForestError::Cycle { node, .. } => {
            Stop::malformed(format!("{} leads back to itself", pool.name(node))).at(pool.place(node))
        }
        ForestError::Threshold { node } => {
            Stop::malformed(format!("{} compares with NaN", pool.name(node))).at(pool.place(node))
        }
        ForestError::TooLarge { .. } | ForestError::NotFinite { .. } => Stop::because(error.to_string()),
        other => Stop::malformed(other.to_string()).at(pool.place(0)),
    }
}
