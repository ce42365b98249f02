//! Use cases of the trek service.

use std::collections::HashMap;

use async_trait::async_trait;
use cairn_shared::{
    Component, Db, DbError, Env, Id, Result, Timestamp, Tx,
    config::Config,
    events::{self, Event},
    http::Router,
    identity::Caller,
    migrations::Migration,
    time::DAY,
};
use serde::Serialize;

use crate::{
    domain::{Batch, CatalogueError, Region, Section, Terms, Trek},
    store::{self, CountBy, Custom, Filter, Listed, View},
};

/// The permission of catalogue staff.
pub const MANAGE_TREKS: &str = "actions.manageTreks";
/// The permission of those who keep the regions.
pub const MANAGE_REGIONS: &str = "actions.manageRegions";

/// The services this one calls.
#[async_trait(?Send)]
pub trait Peers {
    /// All batches of these treks, by start date.
    async fn batches(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, String>;
}

pub struct App {
    pub db: Db,
    pub env: Env,
    peers: Box<dyn Peers>,
    /// Whether an empty database gets the demo's catalogue.
    demo: bool,
}

impl Component for App {
    const NAME: &'static str = "trek";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_catalogue"];
    const VARIABLES: &'static [&'static str] = &["demo"];

    fn load(config: Config, db: Db, env: Env) -> Result<Self, String> {
        Self::new(config, db, env, peers())
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

#[cfg(target_family = "wasm")]
fn peers() -> Box<dyn Peers> {
    Box::new(crate::rpc::Links)
}

#[cfg(not(target_family = "wasm"))]
fn peers() -> Box<dyn Peers> {
    struct NoPeers;
    #[async_trait(?Send)]
    impl Peers for NoPeers {
        async fn batches(&self, _: &[Id]) -> Result<Vec<Batch>, String> {
            Err("no batch service".into())
        }
    }
    Box::new(NoPeers)
}

/// A trek with its dates, as a response needs it.
pub struct TrekPage {
    pub trek: Listed,
    pub batches: Vec<Batch>,
}

/// A section with the treks that everybody may see.
pub struct SectionPage {
    pub section: Section,
    pub treks: Vec<TrekPage>,
}

/// Which batches of a trek to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    All,
    Bookable,
}

/// What `trek.changed` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrekChanged<'a> {
    trek_id: Id,
    name: &'a str,
    region_name: &'a str,
    season: &'a str,
    enabled: bool,
    custom: bool,
    deleted: bool,
    version: i64,
}

/// What `region.changed` tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionChanged<'a> {
    region_id: Id,
    name: &'a str,
    deleted: bool,
    version: i64,
}

pub fn is_staff(caller: Option<&Caller>) -> bool {
    caller.is_some_and(|caller| caller.may(MANAGE_TREKS))
}

fn view(caller: Option<&Caller>) -> View {
    if is_staff(caller) { View::Staff } else { View::Public }
}

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(mut config: Config, db: Db, env: Env, peers: Box<dyn Peers>) -> Result<Self, String> {
        let demo = config.parsed("demo", false);
        config.finish()?;
        Ok(Self { db, env, peers, demo })
    }

    /// Treks that match, each with all its batches. Without batches, a trek is for staff only.
    ///
    /// # Errors
    /// The database's, and the batch service's.
    pub async fn treks(&self, caller: Option<&Caller>, mut filter: Filter) -> Result<Vec<TrekPage>, CatalogueError> {
        if !is_staff(caller) {
            filter.include_disabled = false;
            filter.custom = Custom::Hide;
        }
        let found = store::trek_list(&self.db, view(caller), &filter).await?;
        let mut pages = self.with_batches(found).await?;
        if !is_staff(caller) {
            pages.retain(|page| !page.batches.is_empty());
        }
        Ok(pages)
    }

    async fn with_batches(&self, treks: Vec<Listed>) -> Result<Vec<TrekPage>, CatalogueError> {
        let ids: Vec<_> = treks.iter().map(|trek| trek.id).collect();
        let batches = match ids.is_empty() {
            true => Vec::new(),
            false => self.peers.batches(&ids).await.map_err(CatalogueError::NoBatches)?,
        };
        let mut of_trek: HashMap<Id, Vec<Batch>> = HashMap::new();
        for batch in batches {
            of_trek.entry(batch.trek_id).or_default().push(batch);
        }
        let page = |trek: Listed| TrekPage { batches: of_trek.remove(&trek.id).unwrap_or_default(), trek };
        Ok(treks.into_iter().map(page).collect())
    }

    /// The midnight from which on a batch can still be booked by trekkers.
    fn tomorrow(&self) -> Timestamp {
        self.env.zone.calendar_day(self.env.now()).plus(DAY)
    }

    async fn page(&self, trek: Listed, dates: Dates) -> Result<TrekPage, CatalogueError> {
        let mut batches = self.peers.batches(&[trek.id]).await.map_err(CatalogueError::NoBatches)?;
        if dates == Dates::Bookable {
            let tomorrow = self.tomorrow();
            batches.retain(|batch| batch.bookable(tomorrow));
        }
        Ok(TrekPage { trek, batches })
    }

    /// A trek by a slug it has or had. Disabled ones are for staff; a custom trek's slug is its secret.
    ///
    /// # Errors
    /// [`CatalogueError::TrekNotFound`], [`CatalogueError::LinkExpired`], and those of [`App::treks`].
    pub async fn trek_by_slug(&self, caller: Option<&Caller>, slug: &str) -> Result<TrekPage, CatalogueError> {
        let found = store::trek_fetch_by_slug(&self.db, view(caller), &slug.to_lowercase()).await?;
        let trek = found.filter(|trek| trek.enabled || is_staff(caller)).ok_or(CatalogueError::TrekNotFound)?;
        if is_staff(caller) || !trek.custom {
            return self.page(trek, Dates::Bookable).await;
        }
        if trek.terms.custom_link_expiry.is_some_and(|expiry| expiry <= self.env.now()) {
            return Err(CatalogueError::LinkExpired);
        }
        self.page(trek, Dates::All).await
    }

    /// A trek by id. A disabled one is shown, since old bookings link to it; a custom
    /// one only to staff and to who has its token.
    ///
    /// # Errors
    /// As [`App::trek_by_slug`].
    pub async fn trek(
        &self,
        caller: Option<&Caller>,
        id: Id,
        all_dates: bool,
        token: Option<&str>,
    ) -> Result<TrekPage, CatalogueError> {
        let trek = store::trek_fetch(&self.db, view(caller), id).await?.ok_or(CatalogueError::TrekNotFound)?;
        let has_token = trek.access_token.is_some() && trek.access_token.as_deref() == token;
        if trek.custom && !is_staff(caller) && !has_token {
            return Err(CatalogueError::TrekNotFound);
        }
        let dates = if trek.custom || (all_dates && caller.is_some()) { Dates::All } else { Dates::Bookable };
        self.page(trek, dates).await
    }

    /// Active sections with their public treks.
    ///
    /// # Errors
    /// Those of [`App::treks`].
    pub async fn active_sections(&self) -> Result<Vec<SectionPage>, CatalogueError> {
        let sections = store::section_list_active(&self.db).await?;
        let ids: Vec<_> = sections.iter().flat_map(|section| section.treks.iter().copied()).collect();
        let found = match ids.is_empty() {
            true => Vec::new(),
            false => store::trek_list_public_by_ids(&self.db, &ids).await?,
        };
        let pages: HashMap<_, _> =
            self.with_batches(found).await?.into_iter().map(|page| (page.trek.id, page)).collect();
        let of_section = |section: Section| {
            let treks = section.treks.iter().filter_map(|id| pages.get(id));
            let treks = treks.map(|page| TrekPage { trek: page.trek.clone(), batches: page.batches.clone() }).collect();
            SectionPage { section, treks }
        };
        Ok(sections.into_iter().map(of_section).collect())
    }

    /// # Errors
    /// The database's.
    pub async fn regions(&self, caller: Option<&Caller>) -> Result<Vec<Region>, CatalogueError> {
        let staff = caller.is_some_and(|caller| caller.may(MANAGE_REGIONS));
        Ok(store::region_list(&self.db, staff).await?)
    }

    /// A region by id, with the regions it names.
    ///
    /// # Errors
    /// [`CatalogueError::RegionNotFound`], and the database's.
    pub async fn region(&self, id: Id) -> Result<(Region, Vec<Region>), CatalogueError> {
        self.with_related(store::region_fetch(&self.db, id).await?).await
    }

    /// A region by slug, with the regions it names.
    ///
    /// # Errors
    /// [`CatalogueError::RegionNotFound`], and the database's.
    pub async fn region_by_slug(&self, slug: &str) -> Result<(Region, Vec<Region>), CatalogueError> {
        self.with_related(store::region_fetch_by_slug(&self.db, slug).await?).await
    }

    async fn with_related(&self, region: Option<Region>) -> Result<(Region, Vec<Region>), CatalogueError> {
        let region = region.ok_or(CatalogueError::RegionNotFound)?;
        let mut related = Vec::new();
        for id in &region.related_regions {
            related.extend(store::region_fetch(&self.db, *id).await?);
        }
        Ok((region, related))
    }

    /// How many public treks there are by some property.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(&self, by: CountBy) -> Result<Vec<(String, i64)>, CatalogueError> {
        Ok(store::trek_count_by(&self.db, by).await?)
    }

    /// The terms on which a trek is sold.
    ///
    /// # Errors
    /// The database's.
    pub async fn terms(&self, id: Id) -> Result<Option<Terms>, DbError> {
        store::terms_fetch(&self.db, id).await
    }

    /// Terms by id, those of deleted treks included; unknown ids are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn terms_of(&self, ids: &[Id]) -> Result<Vec<Terms>, DbError> {
        if ids.is_empty() { Ok(Vec::new()) } else { store::terms_list(&self.db, ids).await }
    }

    /// Tells the others of a trek as it is now, in the transaction that changed it.
    ///
    /// # Errors
    /// The database's.
    pub async fn tell_trek(&self, tx: &Tx, trek: &Trek, version: i64) -> Result<()> {
        let data = TrekChanged {
            trek_id: trek.id,
            name: &trek.name,
            region_name: &trek.region_name,
            season: trek.season.as_str(),
            enabled: trek.is_enabled,
            custom: trek.is_custom,
            deleted: false,
            version,
        };
        events::emit(tx, &Event::new(&self.env, "trek.changed", trek.id, &data)?, &["batch", "admin"]).await
    }

    /// Tells the others of a region as it is now, in the transaction that changed it.
    ///
    /// # Errors
    /// The database's.
    pub async fn tell_region(&self, tx: &Tx, region: &Region, version: i64) -> Result<()> {
        let data = RegionChanged { region_id: region.id, name: &region.name, deleted: false, version };
        events::emit(tx, &Event::new(&self.env, "region.changed", region.id, &data)?, &["admin"]).await
    }
}
