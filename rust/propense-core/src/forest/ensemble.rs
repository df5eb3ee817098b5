//! What a file says of an ensemble of decision trees, before anything of it is believed.

/// Trees as lists of nodes: plain data that [`super::Forest::compile`] checks and makes fast.
///
/// A node may be reached from several parents, never from itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// Features in a row.
    pub width: usize,
    /// Values that a row gets: targets or classes.
    pub outputs: usize,
    /// How the trees' values become one.
    pub aggregate: Aggregate,
    /// Added at the end: nothing, or one value an output.
    pub base_values: Vec<f32>,
    /// Each tree's first node, as an index into `nodes`.
    pub roots: Vec<u32>,
    /// The nodes of all trees.
    pub nodes: Vec<Node>,
    /// The values that [`Test::Member`] looks among; each such test names its part.
    pub members: Vec<f32>,
    /// The values of the leaves; each leaf names its part.
    pub weights: Vec<Weight>,
}

/// How the values of the trees become the value of an output.
///
/// All run over the trees in order, in f64, before the base value is added and the result rounded to f32. A tree
/// whose leaf has no weight for an output leaves it alone; an output that no tree touched is its base value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// Their sum over the number of trees.
    Average,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// One node of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Sends a row to one of two nodes.
    Branch {
        /// The feature it looks at.
        feature: u32,
        /// What it asks of it.
        test: Test,
        /// Whether NaN goes to `if_true` even where the test fails.
        missing_goes_true: bool,
        /// Where a row goes that passes.
        if_true: u32,
        /// Where a row goes that does not.
        if_false: u32,
    },
    /// Where a row ends.
    Leaf {
        /// The first of its weights.
        first_weight: u32,
        /// How many there are.
        weight_count: u32,
    },
}

/// What a branch asks of a value, in IEEE arithmetic: −0 is 0, and NaN passes `NotEqual` alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test {
    /// `x <= t`.
    LessEqual(f32),
    /// `x < t`.
    Less(f32),
    /// `x >= t`.
    GreaterEqual(f32),
    /// `x > t`.
    Greater(f32),
    /// `x == t`.
    Equal(f32),
    /// `x != t`, which NaN passes, as in ONNX Runtime.
    NotEqual(f32),
    /// `x` is one of a part of [`Ensemble::members`].
    Member {
        /// The first of the values.
        first: u32,
        /// How many there are.
        count: u32,
    },
}

/// What a leaf adds to one output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// The output.
    pub output: u32,
    /// The value.
    pub value: f32,
}
