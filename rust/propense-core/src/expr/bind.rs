//! Names to columns, with every operand's type checked: from [`Expr`] to [`Program`].

use std::collections::HashMap;

use super::aggregate::{Aggregate, Function};
use super::ast::{BinaryOp, Expr, Literal, UnaryOp};
use super::error::ExprError;
use super::externals::Externals;
use super::program::{Node, Program};
use super::scope::{EventLeaf, EventScope, Scope, Typed, UserScope};
use super::typing::{compare_text, compare_time, in_list, like};
use crate::events::{ColumnKind, EventLog};

/// What to do about an event type that the log does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownEvents {
    /// Refuse the expression.
    Refuse,
    /// Take it that no such event has happened yet.
    Empty,
    /// Refuse the expression, but of this one type take it that none has happened yet.
    RefuseBut(&'static str),
}

/// Which event types an aggregate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventSet {
    /// All.
    All,
    /// The one with this code.
    One(u32),
    /// None: the log does not hold it.
    Empty,
}

/// A condition over one event.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundFilter {
    /// The condition.
    pub program: Program,
    /// What each of its leaves is.
    pub leaves: Vec<EventLeaf>,
}

/// An aggregate whose names are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundAggregate {
    /// The function.
    pub function: Function,
    /// Its event types.
    pub events: EventSet,
    /// Its filter.
    pub filter: Option<BoundFilter>,
    /// The selector's canonical text: equal texts select the same events.
    pub selector_text: String,
    /// The column of the property it reads.
    pub column: Option<usize>,
    /// Its window, microseconds; `None` is all history.
    pub window_us: Option<i64>,
}

/// What a leaf of a user's program is.
#[derive(Debug, Clone, PartialEq)]
pub enum UserLeaf {
    /// A function over the user's events.
    Aggregate(BoundAggregate),
    /// The attribute column with this place.
    Attribute(usize),
    /// The value from outside with this number: see [`Externals`].
    External(usize),
}

/// A bound expression with its type.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The program.
    pub program: Program,
    /// The type of its value.
    pub kind: ColumnKind,
    /// For text, the dictionary into which its codes point.
    pub dictionary: Vec<String>,
}

/// Binds the expressions of one plan, sharing their leaves.
pub struct Binder<'a> {
    log: &'a EventLog,
    unknown_events: UnknownEvents,
    externals: Option<Externals<'a>>,
    leaves: Vec<UserLeaf>,
    index: HashMap<String, usize>,
}

impl<'a> Binder<'a> {
    /// A binder without leaves.
    #[must_use]
    pub fn new(log: &'a EventLog, unknown_events: UnknownEvents) -> Self {
        Self { log, unknown_events, externals: None, leaves: Vec::new(), index: HashMap::new() }
    }

    /// A binder without leaves for rules of segments.
    #[must_use]
    pub fn for_rules(log: &'a EventLog, unknown_events: UnknownEvents, externals: Externals<'a>) -> Self {
        Self { externals: Some(externals), ..Self::new(log, unknown_events) }
    }

    /// Binds an expression; `text` is what error messages quote.
    ///
    /// # Errors
    /// An event type, property or attribute is unknown, or an operand has the wrong type.
    pub fn bind(&mut self, expr: &Expr, text: &str) -> Result<Bound, ExprError> {
        let mut names = UserScope {
            log: self.log,
            unknown_events: self.unknown_events,
            externals: self.externals,
            leaves: &mut self.leaves,
            index: &mut self.index,
        };
        let typed = Typer { text, scope: &mut names }.expr(expr)?;
        let dictionary = typed.dictionary.unwrap_or_default().to_vec();
        Ok(Bound { program: Program { root: typed.node }, kind: typed.kind, dictionary })
    }

    /// The leaf with a number.
    #[must_use]
    pub fn leaf(&self, number: usize) -> &UserLeaf {
        &self.leaves[number]
    }

    /// The leaves of everything bound so far, in order of their numbers.
    #[must_use]
    pub fn into_leaves(self) -> Vec<UserLeaf> {
        self.leaves
    }
}

/// Binds a FILTER's condition; one that reads properties which are only expected as yet is checked, but not to be run.
pub(super) fn bind_filter(
    log: &EventLog,
    condition: &Expr,
    text: &str,
    expected: &'static [&'static str],
) -> Result<BoundFilter, ExprError> {
    let mut names = EventScope { log, leaves: Vec::new(), expected };
    let mut checker = Typer { text, scope: &mut names };
    let typed = checker.expr(condition)?;
    checker.require(&typed, ColumnKind::Boolean, "the condition of FILTER")?;
    Ok(BoundFilter { program: Program { root: typed.node }, leaves: names.leaves })
}

/// Types an expression whose names a scope resolves.
pub(super) struct Typer<'t, 's, S> {
    pub(super) text: &'t str,
    scope: &'s mut S,
}

impl<'a, S: Scope<'a>> Typer<'_, '_, S> {
    fn expr(&mut self, expr: &Expr) -> Result<Typed<'a>, ExprError> {
        self.typed(expr).map_err(|error| error.near(expr))
    }

    fn typed(&mut self, expr: &Expr) -> Result<Typed<'a>, ExprError> {
        match expr {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Property { name, position } => self.scope.property(self.text, name, *position),
            Expr::Attribute { name, position } => self.scope.attribute(self.text, name, *position),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Unary(op, operand) => self.unary(*op, operand),
            Expr::Binary(op, left, right) => self.binary(*op, left, right),
            Expr::InList(operand, list) => {
                let operand = self.expr(operand)?;
                in_list(self.text, operand, list)
            }
            Expr::Like(operand, pattern) => {
                let operand = self.expr(operand)?;
                self.require(&operand, ColumnKind::Text, "LIKE")?;
                like(self.text, &operand, pattern)
            }
            Expr::Math(function, operands) => {
                let mut nodes = Vec::with_capacity(operands.len());
                for operand in operands {
                    let typed = self.expr(operand)?;
                    self.require(&typed, ColumnKind::Number, function.name())?;
                    nodes.push(typed.node);
                }
                Ok(Typed::new(Node::Math(*function, nodes), ColumnKind::Number))
            }
            Expr::Score { .. } | Expr::Tier { .. } | Expr::InSegment { .. } | Expr::Now(_) => {
                self.scope.external(self.text, expr)
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Typed<'a>, ExprError> {
        self.scope.aggregate(self.text, aggregate)
    }

    fn literal(&self, literal: &Literal) -> Result<Typed<'a>, ExprError> {
        Ok(match literal {
            Literal::Number(number) => Typed::new(Node::Constant(*number), ColumnKind::Number),
            Literal::Boolean(value) => Typed::new(Node::Constant(f64::from(u8::from(*value))), ColumnKind::Boolean),
            Literal::Null => Typed::new(Node::Constant(f64::NAN), ColumnKind::Number),
            Literal::Text(constant) => {
                return Err(ExprError::Misplaced {
                    text: self.text.to_owned(),
                    what: Literal::Text(constant.clone()).to_string(),
                    reason: "a text can only be compared with a text property or attribute",
                });
            }
        })
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr) -> Result<Typed<'a>, ExprError> {
        let operand = self.expr(operand)?;
        let (kind, what) = match op {
            UnaryOp::Negate => (ColumnKind::Number, "-"),
            UnaryOp::Not => (ColumnKind::Boolean, "NOT"),
            UnaryOp::IsNull => return Ok(Typed::new(Node::Unary(op, Box::new(operand.node)), ColumnKind::Boolean)),
        };
        self.require(&operand, kind, what)?;
        Ok(Typed::new(Node::Unary(op, Box::new(operand.node)), kind))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Result<Typed<'a>, ExprError> {
        if op.is_comparison() {
            match (left, right) {
                (operand, Expr::Literal(Literal::Text(constant))) => {
                    return self.compare_constant(op, operand, constant);
                }
                (Expr::Literal(Literal::Text(constant)), operand) => {
                    return self.compare_constant(op.mirrored(), operand, constant);
                }
                _ => {}
            }
        }
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let (operands, result) = match op {
            _ if op.is_arithmetic() => (ColumnKind::Number, ColumnKind::Number),
            BinaryOp::And | BinaryOp::Or => (ColumnKind::Boolean, ColumnKind::Boolean),
            // NULL counts as a number, so the other side decides.
            _ if left.node.is_null() => (right.kind, ColumnKind::Boolean),
            _ => (left.kind, ColumnKind::Boolean),
        };
        if operands == ColumnKind::Text {
            let found = if right.kind == ColumnKind::Text { "text on both" } else { right.kind.name() };
            return Err(self.type_error(op.symbol(), "a text in single quotes on one side", found));
        }
        self.require(&left, operands, op.symbol())?;
        self.require(&right, operands, op.symbol())?;
        Ok(Typed::new(Node::Binary(op, Box::new(left.node), Box::new(right.node)), result))
    }

    fn compare_constant(&mut self, op: BinaryOp, operand: &Expr, constant: &str) -> Result<Typed<'a>, ExprError> {
        let operand = self.expr(operand)?;
        match operand.kind {
            _ if operand.node.is_null() => compare_text(self.text, op, &operand, constant),
            ColumnKind::Text => compare_text(self.text, op, &operand, constant),
            ColumnKind::Time => compare_time(self.text, op, operand, constant),
            other => Err(self.type_error(
                op.symbol(),
                "operands of one type",
                if other == ColumnKind::Number { "a number and a text" } else { "a truth value and a text" },
            )),
        }
    }

    fn require(&self, typed: &Typed<'_>, kind: ColumnKind, what: &str) -> Result<(), ExprError> {
        if typed.kind == kind || typed.node.is_null() {
            return Ok(());
        }
        Err(self.type_error(what, kind.name(), typed.kind.name()))
    }

    fn type_error(&self, what: &str, expected: &'static str, found: &'static str) -> ExprError {
        ExprError::Type { text: self.text.to_owned(), what: what.to_owned(), expected, found }
    }
}
