//! One connection, as the threads of the engine use it: each call waits for its answer, and no longer than it may.
//!
//! The driver is asynchronous. Its runtime lives here, on the thread that asks, so an answer wakes nobody else. Statements whose answers are not
//! needed for the next step are sent together ([`Connection::all`]): over a network the way costs more than the work. A connection that
//! has once failed to answer in time is never used again, since nobody knows what it will say next.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, poll_fn},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Notification, Row, SimpleQueryMessage, Statement, error::SqlState, types::ToSql,
};

use super::{url::Place, value::Value};
use crate::LedgerError;

/// So many at once go out in their order; the driver's queue keeps it, and so does what waits for their answers.
const TOGETHER: usize = 24;

const PATIENCE: Duration = Duration::from_secs(3600);

/// Statements with places `?`, which are numbered where they are prepared.
pub(super) enum Order {
    Words(&'static str),
    Prepared(&'static str, Vec<Value>),
}

pub(crate) struct Connection {
    client: Client,
    notices: RefCell<mpsc::UnboundedReceiver<Notification>>,
    statements: RefCell<HashMap<Box<str>, Statement>>,
    within: Cell<Duration>,
    is_lost: Cell<bool>,
    /// The last, since what is above it belongs to it.
    runtime: Runtime,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection is gone. What had been asked for may have been done.
    Lost(String),
    /// Who answers is not who was asked for, or does not take the way that was to be gone: no TLS, a certificate that is not trusted, a password that
    /// is missing.
    Barred(String),
    /// The database has said no.
    Refused(SqlState, String),
    /// An answer is not what was asked for.
    Strange(String),
}

impl Connection {
    pub(super) fn open(place: &Place, within: Duration) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Lost(error.to_string()))?;
        let (tell, notices) = mpsc::unbounded_channel();
        let client = runtime
            .block_on(async { timeout(within, connect(place, tell)).await.unwrap_or_else(|_| Err(silent(within))) })?;
        let connection = Self {
            client,
            notices: RefCell::new(notices),
            statements: RefCell::default(),
            within: Cell::new(within),
            is_lost: Cell::new(false),
            runtime,
        };
        connection.set_up()?;
        Ok(connection)
    }

    /// What waits longer than the one that asks is ended by the database too, and with it what it has locked. To compile a count of a million rows
    /// takes the server longer than it saves.
    fn set_up(&self) -> Result<(), Fault> {
        let ms = self.within.get().as_millis();
        self.words(&format!(
            "SET search_path = batchlingua, pg_temp; SET client_encoding = 'UTF8'; SET jit = off; SET lock_timeout = {}; \
             SET statement_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms}; \
             DO $$ BEGIN IF current_setting('synchronous_commit') = 'off' THEN SET synchronous_commit = on; END IF; END $$",
            ms / 2
        ))
        .map(drop)
    }

    /// From now on an answer may take an hour.
    pub(super) fn is_patient(&self) -> Result<(), Fault> {
        self.within.set(PATIENCE);
        self.set_up()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get() || self.client.is_closed()
    }

    /// Statements without places; the cells of the last row.
    pub(super) fn words(&self, sql: &str) -> Result<Vec<String>, Fault> {
        let answer = self.wait(self.client.simple_query(sql))?;
        let row = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let cells = |row: &tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect()
        };
        Ok(row.map(cells).unwrap_or_default())
    }

    pub(super) fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let statement = self.prepared(sql)?;
        self.wait(self.client.query(&statement, &places(values)))
    }

    /// All of them in their order, of which the first that fails is told; then the query, if there is one.
    pub(super) fn all(&self, orders: &[Order], last: Option<(&str, &[Value])>) -> Result<Vec<Row>, Fault> {
        let (rest, tail) = orders.split_at(orders.len() - orders.len().min(TOGETHER));
        for some in rest.chunks(TOGETHER) {
            self.together(some, None)?;
        }
        self.together(tail, last)
    }

    fn together(&self, orders: &[Order], last: Option<(&str, &[Value])>) -> Result<Vec<Row>, Fault> {
        let prepare = |order: &Order| match order {
            Order::Words(_) => Ok(None),
            Order::Prepared(sql, _) => self.prepared(sql).map(Some),
        };
        let statements = orders.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let last = last.map(|(sql, values)| Ok((self.prepared(sql)?, values))).transpose()?;
        let one = async |order: &Order, statement: &Option<Statement>| match (order, statement) {
            (Order::Prepared(_, values), Some(statement)) => {
                self.client.execute(statement, &places(values)).await.map(drop)
            }
            (Order::Words(sql) | Order::Prepared(sql, _), _) => self.client.batch_execute(sql).await,
        };
        let sent = join_all(orders.iter().zip(&statements).map(|(order, statement)| one(order, statement)));
        let asked = async {
            match &last {
                Some((statement, values)) => self.client.query(statement, &places(values)).await,
                None => Ok(Vec::new()),
            }
        };
        self.wait(async {
            let (sent, rows) = tokio::join!(biased; sent, asked);
            sent.into_iter().collect::<Result<Vec<()>, _>>().and(rows)
        })
    }

    /// The next notification; `None`: there was none for so long.
    pub(super) fn heard(&self, pause: Duration) -> Result<Option<Notification>, Fault> {
        let mut notices = self.notices.borrow_mut();
        match self.runtime.block_on(async { timeout(pause, notices.recv()).await }) {
            Err(_) => Ok(None),
            Ok(Some(notice)) => Ok(Some(notice)),
            Ok(None) => Err(Fault::Lost("the connection was closed".to_owned())),
        }
    }

    /// A notification that has come already.
    pub(super) fn has_heard(&self) -> Option<Notification> {
        self.notices.borrow_mut().try_recv().ok()
    }

    fn prepared(&self, sql: &str) -> Result<Statement, Fault> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(self.client.prepare(&numbered(sql)))?;
        self.statements.borrow_mut().insert(sql.into(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Fault> {
        if self.is_lost() {
            return Err(Fault::Lost("the connection was closed".to_owned()));
        }
        let within = self.within.get();
        let done = self.runtime.block_on(async { timeout(within, work).await });
        let result = done.map_or_else(|_| Err(silent(within)), |done| done.map_err(|error| Fault::of(&error)));
        if matches!(result, Err(Fault::Lost(_))) {
            self.is_lost.set(true);
        }
        result
    }
}

async fn connect(place: &Place, tell: mpsc::UnboundedSender<Notification>) -> Result<Client, Fault> {
    let lost = |error: tokio_postgres::Error| Fault::of(&error);
    match &place.tls {
        Some(tls) => {
            let (client, connection) = place.config.connect(tls.clone()).await.map_err(lost)?;
            tokio::spawn(drive(connection, tell));
            Ok(client)
        }
        None => {
            let (client, connection) = place.config.connect(tokio_postgres::NoTls).await.map_err(lost)?;
            tokio::spawn(drive(connection, tell));
            Ok(client)
        }
    }
}

/// Until the connection ends, which the one that waits for an answer is told by the driver.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, tell: mpsc::UnboundedSender<Notification>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(notice) = message {
            let _ = tell.send(notice);
        }
    }
}

/// Whether a handshake broke off, rather than that one of the two did not want the other.
fn is_of_the_network(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| !cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
}

fn silent(within: Duration) -> Fault {
    Fault::Lost(format!("no answer within {} ms", within.as_millis()))
}

fn places(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// `?` as `$1` and so on; no text of ours has one that means itself.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        out.push_str(&format!("${}{part}", at + 1));
    }
    out
}

impl Fault {
    fn of(error: &tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause =
                std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            // The driver tells its kinds by their words only.
            return match error.to_string() {
                // A value that cannot be read is of this program's making.
                words if words.contains("serializing") => Self::Strange(cause),
                words if words.starts_with("authentication error") || words.starts_with("invalid configuration") => {
                    Self::Barred(cause)
                }
                words if words.contains("TLS") && !is_of_the_network(error) => Self::Barred(cause),
                _ => Self::Lost(cause),
            };
        };
        let text = format!("{} ({})", said.message(), said.code().code());
        // The server is ending, or has become one that only reads: another connection may do better.
        match said.code().code().get(..2) {
            Some("08") => Self::Lost(text),
            _ if *said.code() == SqlState::QUERY_CANCELED => Self::Refused(said.code().clone(), text),
            Some("57") => Self::Lost(text),
            _ if *said.code() == SqlState::READ_ONLY_SQL_TRANSACTION => Self::Lost(text),
            _ if *said.code() == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost(text),
            _ => Self::Refused(said.code().clone(), text),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Lost(text) | Self::Barred(text) | Self::Refused(_, text) | Self::Strange(text) => text.clone(),
        }
    }

    /// Whether the same may go well a little later, with nobody having changed any setting. A server that starts says 57P03, which is as lost.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            // No room for a connection, or another replica has been at the tables for long.
            Self::Refused(state, _) => state.code().starts_with("53") || *state == SqlState::LOCK_NOT_AVAILABLE,
            Self::Barred(_) | Self::Strange(_) => false,
        }
    }

    pub(super) fn unreadable(self) -> LedgerError {
        self.told(LedgerError::Unreadable)
    }

    pub(super) fn unwritable(self) -> LedgerError {
        self.told(LedgerError::Unwritable)
    }

    /// What waiting may mend, what it will not, and what is a bug.
    fn told(self, passing: fn(std::sync::Arc<str>) -> LedgerError) -> LedgerError {
        match self {
            Self::Lost(text) | Self::Barred(text) => passing(text.into()),
            Self::Strange(text) => LedgerError::Corrupt(text),
            Self::Refused(state, text) => match state.code().get(..2) {
                Some("22" | "23") => LedgerError::Forbidden(text),
                Some("XX") => LedgerError::Corrupt(text),
                Some("42") if state != SqlState::INSUFFICIENT_PRIVILEGE => LedgerError::Forbidden(text),
                _ => passing(text.into()),
            },
        }
    }
}
