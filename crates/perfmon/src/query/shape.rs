//! The shape of a statement, written from its tokens.

use std::mem;

use super::keyword::Keyword;
use super::lexer::{Lexer, Token, Unreadable};
use super::lists::Lists;

/// A statement is rarely longer after its lists are collapsed. A longer one is not read to its end.
pub(super) const LONGEST_WRITTEN: usize = 64 << 10;

/// The token written last, as far as it matters to the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Keyword(Keyword),
    Name,
    Hidden,
    Value,
    Operator,
    Open,
    Close,
    Comma,
    /// Behind a name that is shown, or behind anything else.
    Dot {
        of_a_name: bool,
    },
    Cast,
}

/// Writes the shape of a statement, token by token.
pub(super) struct Shape {
    pub(super) out: Vec<u8>,
    last: Last,
    before: Last,
    lists: Lists,
    /// The first keyword of the current statement.
    statement: Option<Keyword>,
    /// From here on its bare words are values.
    are_words_values: bool,
    is_semicolon_due: bool,
}

impl Shape {
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            last: Last::Nothing,
            before: Last::Nothing,
            lists: Lists::default(),
            statement: None,
            are_words_values: false,
            is_semicolon_due: false,
        }
    }

    pub(super) fn read(&mut self, mut lexer: Lexer<'_>) -> Result<(), Unreadable> {
        while let Some(token) = lexer.next()? {
            self.take(token, &lexer)?;
            if self.out.len() > LONGEST_WRITTEN {
                return Err(Unreadable);
            }
        }
        self.lists.end(&mut self.out)?;
        if self.out.is_empty() { Err(Unreadable) } else { Ok(()) }
    }

    fn take(&mut self, token: Token<'_>, lexer: &Lexer<'_>) -> Result<(), Unreadable> {
        if self.statement.is_none() {
            self.begin(token)?;
        }
        match token {
            Token::Keyword(_) | Token::Name(..) | Token::Quoted(_) | Token::Doubtful(_) if self.are_words_values => {
                self.value(Last::Hidden);
            }
            Token::Keyword(keyword) if matches!(self.last, Last::Dot { .. }) => self.name(keyword.as_str(), true),
            Token::Keyword(keyword) => self.keyword(keyword),
            Token::Name(name, is_small) => self.name(name, is_small),
            Token::Quoted(name) => self.quoted(name),
            Token::Doubtful(name) if self.is_name(name, lexer) => self.quoted(name),
            Token::Doubtful(_) | Token::Hidden => self.value(Last::Hidden),
            Token::Value if matches!(self.last, Last::Dot { .. }) => return Err(Unreadable),
            Token::Value => self.value(Last::Value),
            Token::Operator("-") if self.expects_an_operand() && lexer.number_follows() => {}
            Token::Operator(operator) => {
                self.space();
                self.out.extend_from_slice(operator.as_bytes());
                self.are_words_values |= gives_words(self.statement) && operator == "=";
                self.set(Last::Operator);
            }
            Token::Open(bracket) => self.open(bracket),
            Token::Close(bracket) => {
                self.lists.close(&mut self.out, bracket)?;
                self.set(Last::Close);
            }
            Token::Comma => {
                self.lists.comma(&mut self.out);
                self.set(Last::Comma);
            }
            Token::Semicolon => {
                self.lists.end(&mut self.out)?;
                self.is_semicolon_due = !self.out.is_empty();
                (self.statement, self.are_words_values) = (None, false);
                self.set(Last::Nothing);
            }
            Token::Dot => self.dot()?,
            Token::Cast => {
                self.lists.before_token(&mut self.out, false);
                self.out.extend_from_slice(b"::");
                self.set(Last::Cast);
            }
        }
        Ok(())
    }

    /// Takes a token before the first keyword of a statement, and that keyword.
    fn begin(&mut self, token: Token<'_>) -> Result<(), Unreadable> {
        match token {
            Token::Keyword(keyword) if keyword.starts_a_statement() => {
                self.statement = Some(keyword);
            }
            Token::Open(b'(') | Token::Semicolon => {}
            _ => return Err(Unreadable),
        }
        if self.is_semicolon_due && token != Token::Semicolon {
            self.is_semicolon_due = false;
            self.out.extend_from_slice(b"; ");
        }
        Ok(())
    }

    fn name(&mut self, name: &str, is_small: bool) {
        self.space();
        let start = self.out.len();
        self.out.extend_from_slice(name.as_bytes());
        if !is_small {
            self.out[start..].make_ascii_lowercase();
        }
        self.set(Last::Name);
    }

    /// In quotes only where it would mean something else without.
    fn quoted(&mut self, name: &str) {
        let is_small = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_small && Keyword::named(name).is_none() {
            return self.name(name, true);
        }
        self.space();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
        self.set(Last::Name);
    }

    fn keyword(&mut self, keyword: Keyword) {
        let is_constant = [Keyword::NULL, Keyword::TRUE, Keyword::FALSE].contains(&keyword);
        let is_tested = matches!(self.last, Last::Keyword(Keyword::IS | Keyword::NOT));
        if is_constant && !is_tested {
            return self.value(Last::Value);
        }
        self.space();
        self.out.extend_from_slice(keyword.as_str().as_bytes());
        self.are_words_values |= keyword == Keyword::ATTACH || (gives_words(self.statement) && keyword == Keyword::TO);
        if keyword == Keyword::VALUES {
            self.lists.values();
        }
        self.set(Last::Keyword(keyword));
    }

    fn value(&mut self, kind: Last) {
        self.space();
        self.out.push(b'?');
        self.set(kind);
    }

    fn open(&mut self, bracket: u8) {
        let is_list = matches!(self.last, Last::Keyword(Keyword::IN | Keyword::ARRAY));
        let is_apart = bracket == b'(' && matches!(self.last, Last::Keyword(_) | Last::Operator | Last::Comma);
        self.lists.before_token(&mut self.out, bracket == b'(');
        if is_apart && self.last != Last::Comma {
            self.out.push(b' ');
        }
        self.out.push(bracket);
        self.lists.open(&self.out, bracket, is_list);
        self.are_words_values |= self.statement == Some(Keyword::PRAGMA);
        self.set(Last::Open);
    }

    fn dot(&mut self) -> Result<(), Unreadable> {
        match self.last {
            Last::Name | Last::Hidden | Last::Close | Last::Keyword(_) => {}
            _ => return Err(Unreadable),
        }
        self.out.push(b'.');
        self.set(Last::Dot { of_a_name: self.last == Last::Name });
        Ok(())
    }

    /// The blank before a token, and the comma before an item.
    fn space(&mut self) {
        self.lists.before_token(&mut self.out, false);
        if !matches!(self.last, Last::Nothing | Last::Open | Last::Dot { .. } | Last::Cast | Last::Comma) {
            self.out.push(b' ');
        }
    }

    fn set(&mut self, last: Last) {
        self.before = mem::replace(&mut self.last, last);
    }

    fn expects_an_operand(&self) -> bool {
        match self.last {
            Last::Keyword(keyword) => keyword != Keyword::END && keyword != Keyword::NULL,
            Last::Nothing | Last::Operator | Last::Open | Last::Comma => true,
            _ => false,
        }
    }

    /// Whether what SQLite may take for a string must be a name where it stands.
    fn is_name(&self, name: &str, lexer: &Lexer<'_>) -> bool {
        match self.last {
            // `IS NOT DISTINCT FROM "x"` compares.
            Last::Keyword(Keyword::FROM) => self.before != Last::Keyword(Keyword::DISTINCT),
            Last::Keyword(Keyword::INTO | Keyword::JOIN | Keyword::TABLE | Keyword::UPDATE) => true,
            Last::Dot { of_a_name: true } => lexer.is_qualified(name.len()),
            _ => lexer.qualifies(),
        }
    }
}

/// Whether a statement takes bare words for values, behind `=` or `TO`.
fn gives_words(statement: Option<Keyword>) -> bool {
    matches!(statement, Some(Keyword::ALTER | Keyword::PRAGMA | Keyword::SET))
}
