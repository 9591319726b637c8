//! A reader of JSON.

use std::collections::BTreeMap;

#[derive(Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub fn read(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let value = reader.value()?;
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(reader.expected("the end")),
        }
    }

    /// A member of an object; null where there is none.
    pub fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => members.get(name).unwrap_or(&Json::Null),
            _ => &Json::Null,
        }
    }

    /// The elements of a list; none of what is no list.
    pub fn list(&self) -> &[Json] {
        match self {
            Json::List(elements) => elements,
            _ => &[],
        }
    }

    /// The elements of a member that is a list, taken out of an object.
    pub fn take(&mut self, name: &str) -> Vec<Json> {
        match self {
            Json::Object(members) => match members.remove(name) {
                Some(Json::List(elements)) => elements,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    /// A number; infinities and NaN are texts.
    pub fn number(&self) -> f64 {
        match self {
            Json::Number(number) => *number,
            Json::Text(text) => text.parse().unwrap_or(f64::NAN),
            Json::Bool(value) => *value as u8 as f64,
            _ => 0.0,
        }
    }

    pub fn integers(&self) -> Vec<i64> {
        self.list().iter().map(|element| element.number() as i64).collect()
    }

    pub fn is_null(&self) -> bool {
        *self == Json::Null
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expected(&self, what: &str) -> String {
        format!("JSON: {} expected at byte {}", what, self.at)
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += there as usize;
        there
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'"') => self.string().map(Json::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = BTreeMap::new();
        self.members(b'}', |reader| {
            reader.peek();
            let name = reader.string()?;
            if !reader.take(b':') {
                return Err(reader.expected("':'"));
            }
            members.insert(name, reader.value()?);
            Ok(())
        })?;
        Ok(Json::Object(members))
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut elements = Vec::new();
        self.members(b']', |reader| {
            elements.push(reader.value()?);
            Ok(())
        })?;
        Ok(Json::List(elements))
    }

    fn members(&mut self, close: u8, mut member: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        if self.take(close) {
            return Ok(());
        }
        loop {
            member(self)?;
            if self.take(close) {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.expected("','"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at).ok_or_else(|| self.expected("'\"'"))?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|error| error.to_string()),
                b'\\' => self.escape(&mut bytes)?,
                _ => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let byte = *self.text.get(self.at).ok_or_else(|| self.expected("an escape"))?;
        self.at += 1;
        let plain = match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let code = self.hexadecimal()?;
                bytes.extend(code.to_string().bytes());
                return Ok(());
            }
            other => other,
        };
        bytes.push(plain);
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<char, String> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.expected("4 digits"))?;
        let code = std::str::from_utf8(digits).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
        self.at += 4;
        code.and_then(char::from_u32).ok_or_else(|| self.expected("a character"))
    }

    fn word(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let size = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        let word = std::str::from_utf8(&rest[..size]).unwrap_or("");
        let value = match word {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => Json::Number(word.parse().map_err(|_| self.expected("a value"))?),
        };
        self.at += size;
        Ok(value)
    }
}
