//! The SMTP server (RFC 5321 with SIZE, 8BITMIME, SMTPUTF8, PIPELINING and AUTH): takes every
//! mail for everybody, with any password. No TLS: it listens on loopback.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::Shared;
use super::message::{Envelope, Message};
use super::store::MESSAGE_BYTES_MAX;
use crate::doubles::{now_ms, random_id};

/// Bytes of a command line. RFC 5321 has 512; AUTH and extensions need more.
const COMMAND_BYTES_MAX: usize = 12 * 1024;
/// Recipients of a mail.
const RECIPIENTS_MAX: usize = 100;
/// How long a client may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Serves one connection until the client quits, breaks off or stays silent.
pub(super) async fn converse(shared: Arc<Shared>, stream: TcpStream) {
    if shared.store().faults.refuse {
        return;
    }
    let mut session = Session { shared, stream: BufStream::new(stream), envelope: None, greeted: false };
    // A client that goes away in the middle of a mail has not sent it. That is all there is to
    // say about a broken connection.
    let _ = session.run().await;
}

struct Session {
    shared: Arc<Shared>,
    stream: BufStream<TcpStream>,
    /// Set from MAIL on.
    envelope: Option<Envelope>,
    greeted: bool,
}

/// Whether the conversation goes on.
#[derive(PartialEq, Eq)]
enum Then {
    Continue,
    Close,
}

impl Session {
    async fn run(&mut self) -> std::io::Result<()> {
        self.reply("220 cairn mailbox ESMTP").await?;
        loop {
            let mut line = Vec::new();
            match self.next_line(&mut line).await? {
                Line::End => return Ok(()),
                Line::TooLong => self.reply("500 5.5.2 Line too long").await?,
                Line::Whole => {
                    let command = String::from_utf8_lossy(&line);
                    if self.command(command.trim_end()).await? == Then::Close {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn next_line(&mut self, line: &mut Vec<u8>) -> std::io::Result<Line> {
        let read = read_line(&mut self.stream, line, COMMAND_BYTES_MAX);
        if let Ok(read) = tokio::time::timeout(SILENCE_MAX, read).await {
            return read;
        }
        self.reply("421 4.4.2 Silent for too long").await?;
        Err(std::io::ErrorKind::TimedOut.into())
    }

    async fn command(&mut self, line: &str) -> std::io::Result<Then> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.greeted = true;
                self.envelope = None;
                let size = format!("250-SIZE {MESSAGE_BYTES_MAX}\r\n");
                self.reply(&format!(
                    "250-cairn mailbox\r\n{size}250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN"
                ))
                .await?;
            }
            "HELO" => {
                self.greeted = true;
                self.envelope = None;
                self.reply("250 cairn mailbox").await?;
            }
            "AUTH" => self.auth(rest).await?,
            "MAIL" => self.mail(rest).await?,
            "RCPT" => self.recipient(rest).await?,
            "DATA" => self.data().await?,
            "RSET" => {
                self.envelope = None;
                self.reply("250 2.0.0 Forgotten").await?;
            }
            "NOOP" => self.reply("250 2.0.0 OK").await?,
            "VRFY" => self.reply("252 2.5.0 Send and see").await?,
            "QUIT" => {
                self.reply("221 2.0.0 Bye").await?;
                return Ok(Then::Close);
            }
            _ => self.reply("502 5.5.1 Command not implemented").await?,
        }
        Ok(Then::Continue)
    }

    /// Takes any credentials; it only has to ask for what the mechanism sends.
    async fn auth(&mut self, rest: &str) -> std::io::Result<()> {
        let mut words = rest.split_ascii_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let given = usize::from(words.next().is_some());
        // The prompts are base64 of "Username:" and "Password:".
        let prompts: &[&str] = match mechanism.as_str() {
            "PLAIN" => &["334 "],
            "LOGIN" => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            _ => return self.reply("504 5.5.4 Unknown mechanism").await,
        };
        for prompt in prompts.iter().skip(given) {
            self.reply(prompt).await?;
            let mut line = Vec::new();
            self.next_line(&mut line).await?;
            if line.starts_with(b"*") {
                return self.reply("501 5.7.0 Cancelled").await;
            }
        }
        self.reply("235 2.7.0 Welcome").await
    }

    async fn mail(&mut self, rest: &str) -> std::io::Result<()> {
        if !self.greeted {
            return self.reply("503 5.5.1 Say EHLO first").await;
        }
        if self.envelope.is_some() {
            return self.reply("503 5.5.1 There is a sender already").await;
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.reply("501 5.5.4 MAIL FROM:<address>").await;
        };
        let announced = parameters
            .split_ascii_whitespace()
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("SIZE"))
            .and_then(|(_, size)| size.parse::<usize>().ok());
        if announced.is_some_and(|size| size > MESSAGE_BYTES_MAX) {
            return self.reply("552 5.3.4 Message too big").await;
        }
        self.envelope = Some(Envelope { from: from.to_owned(), to: Vec::new() });
        self.reply("250 2.1.0 OK").await
    }

    async fn recipient(&mut self, rest: &str) -> std::io::Result<()> {
        let Some(envelope) = &mut self.envelope else {
            return self.reply("503 5.5.1 MAIL first").await;
        };
        let reply = match path(rest, "TO:") {
            Some((to, _)) if to.contains('@') => {
                if envelope.to.len() < RECIPIENTS_MAX {
                    envelope.to.push(to.to_owned());
                    "250 2.1.5 OK"
                } else {
                    "452 4.5.3 Too many recipients"
                }
            }
            _ => "501 5.1.3 RCPT TO:<address>",
        };
        self.reply(reply).await
    }

    async fn data(&mut self) -> std::io::Result<()> {
        let Some(envelope) = self.envelope.take_if(|envelope| !envelope.to.is_empty()) else {
            return self.reply("503 5.5.1 MAIL and RCPT first").await;
        };
        self.reply("354 End with <CRLF>.<CRLF>").await?;
        let content = match tokio::time::timeout(SILENCE_MAX, read_content(&mut self.stream)).await {
            Ok(content) => content?,
            Err(_elapsed) => return Err(std::io::ErrorKind::TimedOut.into()),
        };
        let Some(content) = content else {
            return self.reply("552 5.3.4 Message too big").await;
        };
        if self.shared.store().faults.reject_next.strike() {
            return self.reply("451 4.3.0 Try again later").await;
        }
        let id = random_id("", 22);
        let message = Message::parse(id.clone(), envelope, Bytes::from(content), now_ms());
        self.shared.receive(message);
        self.reply(&format!("250 2.0.0 Kept as {id}")).await
    }

    async fn reply(&mut self, text: &str) -> std::io::Result<()> {
        let wait = self.shared.store().faults.slow_ms;
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await
    }
}

/// `FROM:<a@b> rest` → `a@b`, `rest`.
fn path<'a>(text: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    rest.trim_start().strip_prefix('<')?.split_once('>')
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// It is there, with its line end.
    Whole,
    /// It had more than the limit; the rest was read and thrown away.
    TooLong,
    /// The client has closed the connection.
    End,
}

/// Reads up to and with the next line feed, keeping at most `bytes_max` bytes.
async fn read_line<R>(reader: &mut R, line: &mut Vec<u8>, bytes_max: usize) -> std::io::Result<Line>
where
    R: AsyncBufRead + Unpin,
{
    let mut too_long = false;
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(Line::End);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(buffer.len(), |at| at + 1);
        let room = bytes_max.saturating_sub(line.len());
        line.extend(buffer.iter().take(count.min(room)));
        too_long |= count > room;
        reader.consume(count);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

/// Reads a mail up to the lone dot and undoes the dot-stuffing. `None` if it is too big.
async fn read_content<R>(reader: &mut R) -> std::io::Result<Option<Vec<u8>>>
where
    R: AsyncBufRead + Unpin,
{
    let mut content = Vec::new();
    let mut too_big = false;
    loop {
        let mut line = Vec::new();
        let room = MESSAGE_BYTES_MAX.saturating_sub(content.len());
        // Room for the dot and the line end, so that a full mail can still be ended.
        let read = read_line(reader, &mut line, room + 3).await?;
        if read == Line::End {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok((!too_big).then_some(content));
        }
        let stuffed = usize::from(line.first() == Some(&b'.'));
        too_big |= read == Line::TooLong || line.len() - stuffed > room;
        if !too_big {
            content.extend(line.iter().skip(stuffed));
        }
    }
}
