//! What a parsed expression is.

use std::fmt;

use sqlparser::ast::{Expr as Sql, FunctionArg, FunctionArgExpr, FunctionArguments, Ident};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::keywords::ALL_KEYWORDS;
use sqlparser::parser::Parser;

use super::aggregate::Aggregate;

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// SQL's NULL: missing.
    Null,
}

/// An operator with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-x`
    Negate,
    /// `NOT x`
    Not,
    /// `x IS NULL`
    IsNull,
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`; missing when the divisor is 0
    Divide,
    /// `%`; missing when the divisor is 0
    Modulo,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `AND`
    And,
    /// `OR`
    Or,
}

impl BinaryOp {
    /// The operator as the canonical text writes it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "AND",
            Self::Or => "OR",
        }
    }

    /// The operator as a feature's column name writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "plus",
            Self::Subtract => "minus",
            Self::Multiply => "times",
            Self::Divide => "per",
            Self::Modulo => "mod",
            Self::Equal => "is",
            Self::NotEqual => "is_not",
            Self::Less => "lt",
            Self::LessEqual => "le",
            Self::Greater => "gt",
            Self::GreaterEqual => "ge",
            Self::And => "and",
            Self::Or => "or",
        }
    }

    /// Whether it adds, subtracts, multiplies or divides.
    #[must_use]
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo)
    }

    /// The comparison with its sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }

    /// Whether a chain of the two is read from the left.
    fn binds_like(self, other: Self) -> bool {
        let class = |op: Self| match op {
            Self::Add | Self::Subtract => 1,
            Self::Multiply | Self::Divide | Self::Modulo => 2,
            Self::And => 3,
            Self::Or => 4,
            _ => 0,
        };
        class(self) == class(other) && class(self) > 0
    }

    /// Whether it compares.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        !self.is_arithmetic() && !matches!(self, Self::And | Self::Or)
    }
}

/// A function of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathFunction {
    /// The magnitude.
    Abs,
    /// The natural logarithm; missing below or at 0.
    Ln,
    /// The square root; missing below 0.
    Sqrt,
    /// The first operand that is not missing.
    Coalesce,
}

impl MathFunction {
    /// Every function's name in the language.
    pub const NAMES: [&'static str; 4] = ["abs", "ln", "sqrt", "coalesce"];

    /// The function with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "abs" => Some(Self::Abs),
            "ln" => Some(Self::Ln),
            "sqrt" => Some(Self::Sqrt),
            "coalesce" => Some(Self::Coalesce),
            _ => None,
        }
    }

    /// The function's name in the language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Ln => "ln",
            Self::Sqrt => "sqrt",
            Self::Coalesce => "coalesce",
        }
    }
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A property of an event; only inside a FILTER.
    Property {
        /// The property's name; `event` is the event type.
        name: String,
        /// Where it stands in the text, counted from 1.
        position: u64,
    },
    /// An attribute of the user's profile.
    Attribute {
        /// The attribute's name.
        name: String,
        /// Where it stands in the text, counted from 1.
        position: u64,
    },
    /// A function over the user's events.
    Aggregate(Aggregate),
    /// An operator with one operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator with two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x IN (…)`.
    InList(Box<Expr>, Vec<Literal>),
    /// `x LIKE pattern`; `%` is any run of characters, `_` any one.
    Like(Box<Expr>, String),
    /// A function of numbers.
    Math(MathFunction, Vec<Expr>),
    /// A model's score of the user; only in rules of segments.
    Score {
        /// The model's name.
        name: String,
        /// Where it stands in the text, counted from 1.
        position: u64,
    },
    /// A model's tier of the user, a text; only in rules of segments.
    Tier {
        /// The model's name.
        name: String,
        /// Where it stands in the text, counted from 1.
        position: u64,
    },
    /// Whether the user is in another segment; only in rules of segments.
    InSegment {
        /// The segment's name.
        name: String,
        /// Where it stands in the text, counted from 1.
        position: u64,
    },
    /// A part of the wall clock at the `as_of`; only in rules of segments.
    Now(Clock),
}

/// A part of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The hour, 0 to 23.
    Hour,
    /// The day of the week, 1 (Monday) to 7.
    Weekday,
}

impl Clock {
    /// The function's name in the language.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour_now",
            Self::Weekday => "weekday_now",
        }
    }
}

/// A name as the language writes it: bare where that parses back, else double-quoted.
pub(super) fn quote_identifier(name: &str) -> String {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let bare = starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // To ask the parser takes long: a word that SQL does not know can only be a name.
    let is_name = bare && (!is_keyword(name) || reads_back(name));
    if is_name { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn is_keyword(name: &str) -> bool {
    ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str()).is_ok()
}

/// Whether the parser takes a bare word for a name, alone and as an argument, and not for a word of SQL's own.
fn reads_back(name: &str) -> bool {
    let ident = |ident: &Ident| ident.value == name && ident.quote_style.is_none();
    let alone = matches!(parse_sql(&format!("{name} = 1")), Some(Sql::BinaryOp { left, .. })
        if matches!(left.as_ref(), Sql::Identifier(found) if ident(found)));
    let Some(Sql::Function(function)) = parse_sql(&format!("f({name}, {name}.{name})")) else { return false };
    let FunctionArguments::List(list) = &function.args else { return false };
    let is_name = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::Identifier(found))) => ident(found),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::CompoundIdentifier(parts))) => parts.iter().all(ident),
        _ => false,
    };
    alone && list.args.len() == 2 && list.args.iter().all(is_name)
}

fn parse_sql(text: &str) -> Option<Sql> {
    Parser::new(&DuckDbDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Debug prints the shortest digits that read back as the same f64.
            Self::Number(number) => write!(f, "{}", format!("{number:?}").trim_end_matches(".0")),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Boolean(true) => f.write_str("TRUE"),
            Self::Boolean(false) => f.write_str("FALSE"),
            Self::Null => f.write_str("NULL"),
        }
    }
}

/// Writes the canonical text, which parses to the same expression: every nested operation stands in
/// parentheses, but a chain of one kind does not.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => literal.fmt(f),
            Self::Property { name, .. } => f.write_str(&quote_identifier(name)),
            Self::Attribute { name, .. } => write!(f, "attr({})", quote_identifier(name)),
            Self::Aggregate(aggregate) => aggregate.fmt(f),
            Self::Unary(UnaryOp::Negate, operand) => write!(f, "-{}", Nested(operand)),
            Self::Unary(UnaryOp::Not, operand) => write!(f, "NOT {}", Nested(operand)),
            Self::Unary(UnaryOp::IsNull, operand) => write!(f, "{} IS NULL", Nested(operand)),
            Self::Binary(op, left, right) => {
                // A chain such as a + b − c reads from the left, so it needs no parentheses there.
                match left.as_ref() {
                    Self::Binary(inner, ..) if inner.binds_like(*op) => write!(f, "{left}")?,
                    _ => write!(f, "{}", Nested(left))?,
                }
                write!(f, " {} {}", op.symbol(), Nested(right))
            }
            Self::InList(operand, list) => write!(f, "{} IN ({})", Nested(operand), comma_separated(list)),
            Self::Like(operand, pattern) => {
                write!(f, "{} LIKE {}", Nested(operand), Literal::Text(pattern.clone()))
            }
            Self::Math(function, operands) => write!(f, "{}({})", function.name(), comma_separated(operands)),
            Self::Score { name, .. } => write!(f, "score({})", quote_identifier(name)),
            Self::Tier { name, .. } => write!(f, "tier({})", quote_identifier(name)),
            Self::InSegment { name, .. } => write!(f, "in_segment({})", quote_identifier(name)),
            Self::Now(clock) => write!(f, "{}()", clock.name()),
        }
    }
}

fn comma_separated<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An operand, in parentheses unless it binds tighter than any operator.
struct Nested<'a>(&'a Expr);

impl fmt::Display for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Unary(..) | Expr::Binary(..) | Expr::InList(..) | Expr::Like(..) => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}
