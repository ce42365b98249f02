//! Use cases of the content service.

use std::path::PathBuf;

use cairn_shared::{Component, Db, DbError, Env, config::Config, http::Router, migrations::Migration};

use crate::{
    domain::{Article, Listing, Region},
    store,
};

/// Where the manifest mounts the files that pages show.
const UPLOADS_DIR: &str = "/uploads";

pub struct App {
    pub db: Db,
    pub env: Env,
    /// Whether an empty database gets the demo's articles.
    pub demo: bool,
    pub uploads_dir: PathBuf,
}

impl Component for App {
    const NAME: &'static str = "content";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_journal"];
    const VARIABLES: &'static [&'static str] = &["demo"];

    fn load(mut config: Config, db: Db, env: Env) -> Result<Self, String> {
        let demo = config.parsed("demo", false);
        config.finish()?;
        Ok(Self { db, env, demo, uploads_dir: UPLOADS_DIR.into() })
    }

    fn db(&self) -> &Db {
        &self.db
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn routes() -> Router<Self> {
        crate::http::routes()
    }

    async fn start(&self) -> Result<(), String> {
        if self.demo { crate::demo::load(self).await } else { Ok(()) }
    }
}

/// A page of articles, and how many there are on all pages.
pub struct ArticlePage {
    pub articles: Vec<Article>,
    pub total: i64,
}

impl App {
    /// A page of public articles.
    ///
    /// # Errors
    /// The database's.
    pub async fn articles(&self, listing: &Listing) -> Result<ArticlePage, DbError> {
        let total = store::article_count(&self.db, listing).await?;
        Ok(ArticlePage { articles: store::article_list(&self.db, listing).await?, total })
    }

    /// A public article by its address.
    ///
    /// # Errors
    /// The database's.
    pub async fn article(&self, slug: &str) -> Result<Option<Article>, DbError> {
        store::article_fetch(&self.db, slug).await
    }

    /// Enabled regions by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn enabled_regions(&self) -> Result<Vec<Region>, DbError> {
        store::region_list_enabled(&self.db).await
    }

    /// An enabled region by its address.
    ///
    /// # Errors
    /// The database's.
    pub async fn enabled_region(&self, slug: &str) -> Result<Option<Region>, DbError> {
        store::region_fetch_enabled(&self.db, slug).await
    }
}
