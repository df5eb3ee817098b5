//! Text to [`Expr`], by `sqlparser`, refusing the SQL that the language does not have.

use std::cell::Cell;

use sqlparser::ast::{
    BinaryOperator, Expr as Sql, Function as SqlFunction, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectNamePart, UnaryOperator, Value,
};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::aggregate::{Aggregate, Argument, Function, Selector};
use super::ast::{BinaryOp, Clock, Expr, Literal, MathFunction, UnaryOp};
use super::call::{Call, aggregate_shape};
use super::error::ExprError;
use super::nearest::nearest;

/// Longer texts are refused before they are read, which also bounds how deep an expression can nest.
const TEXT_LIMIT: usize = 8_192;

/// An expression nests at most so deep; a chain of operators counts its length.
const DEPTH_LIMIT: usize = 128;
/// The longest text of an expression that BETWEEN can be asked of.
const BETWEEN_LIMIT: usize = 2_048;

/// Parses an expression.
///
/// # Errors
/// The text is not an SQL expression, or uses SQL, a function or arguments that the language does not have.
///
/// ```
/// let expr = propense_core::expr::parse("count(view_item,'7d') filter (where price > 10)").unwrap();
/// assert_eq!(expr.to_string(), "count(view_item, '7d') FILTER (WHERE price > 10)");
/// ```
pub fn parse(text: &str) -> Result<Expr, ExprError> {
    read(text, false)
}

/// Parses a rule of a segment, which may also name scores, tiers, other segments and the wall clock.
///
/// # Errors
/// As [`parse()`].
///
/// ```
/// let rule = propense_core::expr::parse_segment_rule("tier(buys) = 'most_likely' AND NOT in_segment(vip)").unwrap();
/// assert_eq!(rule.to_string(), "(tier(buys) = 'most_likely') AND (NOT in_segment(vip))");
/// ```
pub fn parse_segment_rule(text: &str) -> Result<Expr, ExprError> {
    read(text, true)
}

fn read(text: &str, in_rule: bool) -> Result<Expr, ExprError> {
    if text.len() > TEXT_LIMIT {
        return Err(ExprError::TooLong { length: text.len(), limit: TEXT_LIMIT });
    }
    let syntax = |reason: String| ExprError::Syntax { text: text.to_owned(), reason };
    let clean = |error: sqlparser::parser::ParserError| {
        syntax(error.to_string().replace("sql parser error: ", "").replace("found: EOF", "found: the end of the text"))
    };
    let mut parser =
        Parser::new(&DuckDbDialect {}).with_tokens_with_locations(tokens(text).map_err(|error| clean(error.into()))?);
    let sql = parser.parse_expr().map_err(clean)?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let place = rest.span.start;
        return Err(syntax(format!("nothing more expected after the expression, found {rest}{place}")));
    }
    Reader { text, in_filter: false, in_rule, depth: Cell::new(0) }.expr(&sql)
}

/// The text's tokens; `distinct(` is the function of that name, not SQL's DISTINCT.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let mut tokens = Tokenizer::new(&DuckDbDialect {}, text).tokenize_with_location()?;
    for place in 1..tokens.len() {
        let called = tokens[place].token == Token::LParen;
        if let Token::Word(word) = &mut tokens[place - 1].token
            && word.keyword == Keyword::DISTINCT
            && called
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    Ok(tokens)
}

/// The functions that only rules of segments have.
const OF_RULES: [&str; 5] = ["score", "tier", "in_segment", "hour_now", "weekday_now"];

/// Walks the SQL tree; knows whether it stands inside a FILTER or a segment's rule.
struct Reader<'a> {
    text: &'a str,
    in_filter: bool,
    in_rule: bool,
    depth: Cell<usize>,
}

impl Reader<'_> {
    fn expr(&self, sql: &Sql) -> Result<Expr, ExprError> {
        let depth = self.depth.get() + 1;
        if depth > DEPTH_LIMIT {
            return Err(ExprError::TooDeep { limit: DEPTH_LIMIT });
        }
        self.depth.set(depth);
        let read = self.read(sql);
        self.depth.set(depth - 1);
        read
    }

    fn read(&self, sql: &Sql) -> Result<Expr, ExprError> {
        let negate = |negated: bool, expr: Expr| {
            if negated { Expr::Unary(UnaryOp::Not, Box::new(expr)) } else { expr }
        };
        Ok(match sql {
            Sql::Nested(inner) => self.expr(inner)?,
            Sql::Value(value) => Expr::Literal(self.literal(&value.value)?),
            Sql::Identifier(name) => self.property(name)?,
            Sql::UnaryOp { op: UnaryOperator::Not, expr } => Expr::Unary(UnaryOp::Not, Box::new(self.expr(expr)?)),
            Sql::UnaryOp { op: UnaryOperator::Plus, expr } => self.expr(expr)?,
            Sql::UnaryOp { op: UnaryOperator::Minus, expr } => match self.expr(expr)? {
                Expr::Literal(Literal::Number(number)) => Expr::Literal(Literal::Number(-number)),
                other => Expr::Unary(UnaryOp::Negate, Box::new(other)),
            },
            Sql::BinaryOp { left, op, right } => {
                Expr::Binary(self.operator(op)?, Box::new(self.expr(left)?), Box::new(self.expr(right)?))
            }
            Sql::IsNull(inner) => Expr::Unary(UnaryOp::IsNull, Box::new(self.expr(inner)?)),
            Sql::IsNotNull(inner) => negate(true, Expr::Unary(UnaryOp::IsNull, Box::new(self.expr(inner)?))),
            Sql::InList { expr, list, negated } => {
                let literals = list.iter().map(|item| self.list_item(item)).collect::<Result<_, _>>()?;
                negate(*negated, Expr::InList(Box::new(self.expr(expr)?), literals))
            }
            Sql::Between { expr, negated, low, high } => negate(*negated, self.between(expr, low, high)?),
            Sql::Like { negated, any: false, expr, pattern, escape_char: None } => match self.expr(pattern)? {
                Expr::Literal(Literal::Text(pattern)) => {
                    negate(*negated, Expr::Like(Box::new(self.expr(expr)?), pattern))
                }
                other => return Err(self.unsupported(other.to_string(), "write LIKE with a quoted pattern")),
            },
            Sql::Function(function) => self.function(function)?,
            Sql::CompoundIdentifier(_) => {
                return Err(self.unsupported(
                    sql.to_string(),
                    "inside FILTER name a property alone; outside, put it in a function such as sum(purchase.amount)",
                ));
            }
            other => {
                return Err(self.unsupported(
                    other.to_string(),
                    "it has comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, arithmetic and its own functions",
                ));
            }
        })
    }

    fn between(&self, value: &Sql, low: &Sql, high: &Sql) -> Result<Expr, ExprError> {
        let value = self.expr(value)?;
        // The value is written twice; a long one inside another would grow without end.
        if value.to_string().len() > BETWEEN_LIMIT {
            return Err(self.unsupported("BETWEEN of so long an expression".to_owned(), "write two comparisons"));
        }
        let above = Expr::Binary(BinaryOp::GreaterEqual, Box::new(value.clone()), Box::new(self.expr(low)?));
        let below = Expr::Binary(BinaryOp::LessEqual, Box::new(value), Box::new(self.expr(high)?));
        Ok(Expr::Binary(BinaryOp::And, Box::new(above), Box::new(below)))
    }

    fn list_item(&self, item: &Sql) -> Result<Literal, ExprError> {
        match self.expr(item)? {
            Expr::Literal(literal) => Ok(literal),
            other => Err(self.unsupported(other.to_string(), "IN takes a list of constants")),
        }
    }

    fn literal(&self, value: &Value) -> Result<Literal, ExprError> {
        match value {
            Value::Number(digits, _) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Literal::Number(number)),
                _ => Err(self.unsupported(digits.clone(), "numbers are finite decimals")),
            },
            Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
            Value::Boolean(value) => Ok(Literal::Boolean(*value)),
            Value::Null => Ok(Literal::Null),
            other => Err(self.unsupported(other.to_string(), "constants are numbers, 'texts', TRUE, FALSE and NULL")),
        }
    }

    fn operator(&self, op: &BinaryOperator) -> Result<BinaryOp, ExprError> {
        Ok(match op {
            BinaryOperator::Plus => BinaryOp::Add,
            BinaryOperator::Minus => BinaryOp::Subtract,
            BinaryOperator::Multiply => BinaryOp::Multiply,
            BinaryOperator::Divide => BinaryOp::Divide,
            BinaryOperator::Modulo => BinaryOp::Modulo,
            BinaryOperator::Eq => BinaryOp::Equal,
            BinaryOperator::NotEq => BinaryOp::NotEqual,
            BinaryOperator::Lt => BinaryOp::Less,
            BinaryOperator::LtEq => BinaryOp::LessEqual,
            BinaryOperator::Gt => BinaryOp::Greater,
            BinaryOperator::GtEq => BinaryOp::GreaterEqual,
            BinaryOperator::And => BinaryOp::And,
            BinaryOperator::Or => BinaryOp::Or,
            other => {
                return Err(self.unsupported(format!("operator {other}"), "use + - * / % = <> < <= > >= AND OR"));
            }
        })
    }

    fn property(&self, name: &Ident) -> Result<Expr, ExprError> {
        if self.in_filter {
            return Ok(Expr::Property { name: name.value.clone(), position: self.place(name) });
        }
        Err(ExprError::Misplaced {
            text: self.text.to_owned(),
            what: format!("the name {:?}", name.value),
            reason: "outside FILTER (WHERE …) an event or property stands inside a function, such as count(purchase), \
                     an attribute inside attr(…), and a text in single quotes",
        })
    }

    fn function(&self, function: &SqlFunction) -> Result<Expr, ExprError> {
        let written = function.name.0.first().and_then(ObjectNamePart::as_ident);
        let position = written.map_or(1, |name| self.place(name));
        self.called(function, position).map_err(|error| error.in_function(self.text, position))
    }

    fn called(&self, function: &SqlFunction, position: u64) -> Result<Expr, ExprError> {
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            return Err(self.unsupported(function.to_string(), "a function takes FILTER (WHERE …) and nothing else"));
        }
        if let Some(math) = MathFunction::from_name(&name) {
            return self.math(math, function);
        }
        let of_rules = OF_RULES.contains(&name.as_str());
        if of_rules && !self.in_rule {
            return Err(ExprError::Misplaced {
                text: self.text.to_owned(),
                what: format!("{name}(…)"),
                reason: "scores, tiers, segments and the present hour can be read in segments only",
            });
        }
        let known = of_rules || Function::NAMES.contains(&name.as_str());
        if !known && name != "attr" {
            let rules: &[&str] = if self.in_rule { &OF_RULES } else { &[] };
            let candidates = Function::NAMES.iter().chain(&MathFunction::NAMES).chain(&["attr"]).chain(rules).copied();
            let (text, nearest) = (self.text.to_owned(), nearest(&name, candidates));
            return Err(ExprError::UnknownFunction { text, name, position, nearest });
        }
        if self.in_filter && known {
            return Err(ExprError::Misplaced {
                text: self.text.to_owned(),
                what: format!("{name}(…)"),
                reason: "a FILTER looks at one event at a time and cannot hold another function over events",
            });
        }
        let args = self.arguments(&name, function)?;
        if name == "attr" {
            return match (args.as_slice(), &function.filter) {
                ([Call::Name(attribute)], None) => {
                    Ok(Expr::Attribute { name: attribute.value.clone(), position: self.place(attribute) })
                }
                _ => Err(self.arguments_error(&name, "attr(name)")),
            };
        }
        if of_rules {
            return match (&args[..], &function.filter) {
                (args, None) => self.of_rule(&name, args),
                _ => Err(self.arguments_error(&name, "no FILTER, as it does not look at events")),
            };
        }
        self.aggregate(&name, &args, function.filter.as_deref()).map(Expr::Aggregate)
    }

    /// A function that only rules of segments have.
    fn of_rule(&self, function: &str, args: &[Call]) -> Result<Expr, ExprError> {
        let usage = match function {
            "score" => "score(model)",
            "tier" => "tier(model)",
            "in_segment" => "in_segment(segment), or in_segment(\"model.most_likely\") for a tier",
            "hour_now" => "hour_now()",
            _ => "weekday_now()",
        };
        let named = match args {
            [Call::Name(name)] => Some((name.value.clone(), self.place(name))),
            [Call::Path(model, tier)] if function == "in_segment" => {
                Some((format!("{}.{}", model.value, tier.value), self.place(model)))
            }
            _ => None,
        };
        match (function, named, args) {
            ("hour_now", _, []) => Ok(Expr::Now(Clock::Hour)),
            ("weekday_now", _, []) => Ok(Expr::Now(Clock::Weekday)),
            ("score", Some((name, position)), _) => Ok(Expr::Score { name, position }),
            ("tier", Some((name, position)), _) => Ok(Expr::Tier { name, position }),
            ("in_segment", Some((name, position)), _) => Ok(Expr::InSegment { name, position }),
            _ => Err(self.arguments_error(function, usage)),
        }
    }

    fn aggregate(&self, name: &str, args: &[Call], filter: Option<&Sql>) -> Result<Aggregate, ExprError> {
        let shape = aggregate_shape(name, args)?.map_err(|usage| self.arguments_error(name, usage))?;
        let filter = match filter {
            None => None,
            Some(condition) => Some(Box::new(self.inside_filter().expr(condition)?)),
        };
        let (event, position) = match shape.event {
            None => (None, 0),
            Some(event) => (Some(event.value.clone()), self.place(event)),
        };
        let argument = shape
            .property
            .map(|property| Argument { property: property.value.clone(), position: self.place(property) });
        let selector = Selector { event, position, filter };
        Ok(Aggregate { function: shape.function, selector, argument, window_us: shape.window_us })
    }

    fn math(&self, math: MathFunction, function: &SqlFunction) -> Result<Expr, ExprError> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(self.arguments_error(math.name(), "operands in parentheses"));
        };
        if function.filter.is_some() || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            let hint = "FILTER (WHERE …) belongs to a function over events: put it inside, right after that";
            return Err(self.unsupported(function.to_string(), hint));
        }
        let operands: Vec<Expr> = list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(operand)) => self.expr(operand),
                _ => Err(self.arguments_error(math.name(), "operands that are expressions")),
            })
            .collect::<Result<_, _>>()?;
        match (math, operands.len()) {
            (MathFunction::Coalesce, 2..) | (MathFunction::Abs | MathFunction::Ln | MathFunction::Sqrt, 1) => {
                Ok(Expr::Math(math, operands))
            }
            (MathFunction::Coalesce, _) => Err(self.arguments_error(math.name(), "two or more operands")),
            _ => Err(self.arguments_error(math.name(), "one operand")),
        }
    }

    /// The arguments of a function over events, each a name, a wildcard or a constant.
    fn arguments<'b>(&self, name: &str, function: &'b SqlFunction) -> Result<Vec<Call<'b>>, ExprError> {
        let refused = |found: String| self.unsupported(format!("{found} as an argument of {name}"), Call::HINT);
        let FunctionArguments::List(list) = &function.args else {
            return Err(refused("nothing".to_owned()));
        };
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(refused(function.args.to_string()));
        }
        let read = |arg: &'b FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(Call::Wildcard),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::Identifier(ident))) => Ok(Call::Name(ident)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::CompoundIdentifier(parts))) => match parts.as_slice() {
                [event, property] => Ok(Call::Path(event, property)),
                _ => Err(refused(arg.to_string())),
            },
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::Value(value))) => match self.literal(&value.value)? {
                Literal::Number(number) => Ok(Call::Number(number)),
                Literal::Text(text) => Ok(Call::Text(text)),
                _ => Err(refused(arg.to_string())),
            },
            other => Err(refused(other.to_string())),
        };
        list.args.iter().map(read).collect()
    }

    /// Where a name stands, in characters of the whole text, counted from 1.
    fn place(&self, name: &Ident) -> u64 {
        let start = name.span.start;
        let above = self.text.split_inclusive('\n').take(start.line.saturating_sub(1) as usize);
        above.map(|line| line.chars().count() as u64).sum::<u64>() + start.column
    }

    fn inside_filter(&self) -> Self {
        Self { text: self.text, in_filter: true, in_rule: self.in_rule, depth: self.depth.clone() }
    }

    fn unsupported(&self, what: String, hint: &'static str) -> ExprError {
        ExprError::Unsupported { text: self.text.to_owned(), position: 0, what, hint }
    }

    fn arguments_error(&self, function: &str, expected: &str) -> ExprError {
        let (function, expected) = (function.to_owned(), expected.to_owned());
        ExprError::Arguments { text: self.text.to_owned(), position: 0, function, expected }
    }
}
