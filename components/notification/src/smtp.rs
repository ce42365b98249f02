//! A conversation with the mail server (RFC 5321), over plain TCP.
//!
//! It sends one mail after the other over one connection. TLS it does not speak: in
//! the sandbox there is no provider for it, so a relay on the own network does that.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};

/// Time to wait for the server to say or take something.
const IO_TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes of one line of a reply.
const LINE_BYTES_MAX: u64 = 2048;

/// Lines of one reply.
const REPLY_LINES_MAX: usize = 64;

/// The mail server and how to log in there.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The name we give ourselves: the sender's domain.
    pub own_name: String,
}

/// Why a mail did not go out.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The connection is of no use any more, nor would a new one be at once.
    #[error("mail server: {0}")]
    Connection(String),
    /// The server does not take this mail; the connection is still good.
    #[error("refused with {0}")]
    Refused(String),
}

impl From<std::io::Error> for SmtpError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// A connection on which mails can be sent.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

struct Reply {
    code: u16,
    /// The text of its lines, without the code.
    lines: Vec<String>,
}

impl Connection {
    /// Connects, greets and logs in.
    ///
    /// # Errors
    /// [`SmtpError::Connection`], whatever went wrong.
    pub fn open(server: &Server) -> Result<Self, SmtpError> {
        let stream = TcpStream::connect((server.host.as_str(), server.port))?;
        limit(&stream);
        let mut connection = Self { stream: BufReader::new(stream) };
        connection.reply()?.expect(220)?;
        let greeting = connection.command(&format!("EHLO {}", server.own_name))?.expect(250)?;
        if let Some((user, password)) = &server.login {
            connection.log_in(&greeting, user, password)?;
        }
        Ok(connection)
    }

    fn log_in(&mut self, greeting: &Reply, user: &str, password: &str) -> Result<(), SmtpError> {
        if greeting.offers_login("PLAIN") {
            let proof = STANDARD.encode(format!("\0{user}\0{password}"));
            return self.command(&format!("AUTH PLAIN {proof}"))?.expect(235).map(drop);
        }
        if greeting.offers_login("LOGIN") {
            self.command("AUTH LOGIN")?.expect(334)?;
            self.command(&STANDARD.encode(user))?.expect(334)?;
            return self.command(&STANDARD.encode(password))?.expect(235).map(drop);
        }
        Err(SmtpError::Connection("it offers no login by PLAIN or LOGIN without TLS, but email_user is set".into()))
    }

    /// Sends one mail. When this returns `Ok` the server is responsible for it.
    ///
    /// # Errors
    /// [`SmtpError::Refused`] leaves the connection good for the next mail.
    pub fn send(&mut self, from: &str, to: &str, message: &[u8]) -> Result<(), SmtpError> {
        self.transaction_step(&format!("MAIL FROM:<{from}>"), 250)?;
        self.transaction_step(&format!("RCPT TO:<{to}>"), 250)?;
        self.transaction_step("DATA", 354)?;
        self.write(&dot_stuffed(message))?;
        let reply = self.reply()?;
        self.judge(reply, 250)
    }

    /// Says goodbye. What the server answers does not matter.
    pub fn close(mut self) {
        if let Err(error) = self.command("QUIT") {
            cairn_shared::log::info("the mail server went without a goodbye", &[("cause", &error)]);
        }
    }

    fn transaction_step(&mut self, command: &str, expected: u16) -> Result<(), SmtpError> {
        let reply = self.command(command)?;
        self.judge(reply, expected)
    }

    /// A refusal ends the mail, not the connection, unless the server hangs up (421)
    /// or wants us to log in first (530, 535), which concerns every mail.
    fn judge(&mut self, reply: Reply, expected: u16) -> Result<(), SmtpError> {
        match reply.code {
            code if code == expected || (expected == 250 && code == 251) => Ok(()),
            421 | 530 | 535 => reply.expect(expected).map(drop),
            _ => {
                self.command("RSET")?.expect(250)?;
                Err(SmtpError::Refused(reply.summary()))
            }
        }
    }

    fn command(&mut self, line: &str) -> Result<Reply, SmtpError> {
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(SmtpError::Connection("a command with control characters was not sent".into()));
        }
        self.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SmtpError> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        Ok(stream.flush()?)
    }

    fn reply(&mut self) -> Result<Reply, SmtpError> {
        let mut lines = Vec::new();
        while lines.len() < REPLY_LINES_MAX {
            let mut line = Vec::new();
            (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (code, text) = line.split_at_checked(3).ok_or_else(|| SmtpError::Connection("it hung up".into()))?;
            let code = code.parse().map_err(|_| SmtpError::Connection("it does not speak SMTP".into()))?;
            lines.push(text.get(1..).unwrap_or_default().to_owned());
            if !text.starts_with('-') {
                return Ok(Reply { code, lines });
            }
        }
        Err(SmtpError::Connection("its reply has too many lines".into()))
    }
}

impl Reply {
    fn expect(self, code: u16) -> Result<Self, SmtpError> {
        if self.code == code { Ok(self) } else { Err(SmtpError::Connection(self.summary())) }
    }

    fn summary(&self) -> String {
        let text: String = self.lines.join(" ").chars().filter(|c| !c.is_control()).take(300).collect();
        format!("{} {text}", self.code)
    }

    fn offers_login(&self, mechanism: &str) -> bool {
        let offers = self.lines.iter().filter_map(|line| line.strip_prefix("AUTH"));
        offers.flat_map(|offer| offer.split([' ', '='])).any(|offered| offered.eq_ignore_ascii_case(mechanism))
    }
}

/// Limits waiting, where the platform can. Elsewhere the host's own time limit on
/// the job ends it, and the mail is sent again after its claim has run out.
fn limit(stream: &TcpStream) {
    let limits = [stream.set_read_timeout(Some(IO_TIME_MAX)), stream.set_write_timeout(Some(IO_TIME_MAX))];
    for error in limits.into_iter().filter_map(Result::err) {
        cairn_shared::log::info("no time limit on the mail server's connection", &[("cause", &error)]);
    }
}

/// The message with CRLF at every line's end, a dot doubled where it begins a line,
/// and the final dot.
fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + message.len() / 64 + 5);
    for line in message.strip_suffix(b"\n").unwrap_or(message).split(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend(line.iter().filter(|byte| **byte != b'\r'));
        stuffed.extend(b"\r\n");
    }
    stuffed.extend(b".\r\n");
    stuffed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_mail_ends_it() {
        assert_eq!(dot_stuffed(b"a\n.\r\n..b\nc"), b"a\r\n..\r\n...b\r\nc\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a\r\n"), b"a\r\n.\r\n");
    }

    #[test]
    fn the_offered_logins_are_recognised() {
        let reply = Reply { code: 250, lines: vec!["mail.example.org".into(), "AUTH LOGIN PLAIN".into()] };
        assert!(reply.offers_login("PLAIN") && reply.offers_login("LOGIN") && !reply.offers_login("CRAM-MD5"));
    }
}
