"""The composition root: builds every object of the daemon once, starts, drains, stops."""

import asyncio
import importlib.metadata
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bmigd.announce import Announcer
from bmigd.config import Config
from bmigd.drivers import DRIVERS
from bmigd.errors import Invalid
from bmigd.files import make_directory
from bmigd.guests.store import GuestStore
from bmigd.history import History
from bmigd.journal import Journal
from bmigd.lock import Lock
from bmigd.migration.archive import Archive
from bmigd.migration.claims import Claims
from bmigd.migration.departed import Departures
from bmigd.migration.destination import Destination
from bmigd.migration.elsewhere import Elsewhere
from bmigd.migration.images import Images
from bmigd.migration.inventory import Inventory
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.ports import Peer
from bmigd.migration.recovery import recover
from bmigd.migration.room import Room
from bmigd.migration.running import Migrations
from bmigd.rpc.access import Access
from bmigd.rpc.dial import GrpcPeer
from bmigd.rpc.guest import GuestServicer
from bmigd.rpc.migration import MigrationServicer
from bmigd.rpc.node import NodeServicer
from bmigd.rpc.peer import PeerServicer, add_to_server
from bmigd.rpc.server import Server
from bmigd.security import expiry
from bmigd.security.certificates import CertificateError, Credentials, load
from bmigd.security.policy import Action, Policy, Rule

log = structlog.get_logger()

JOURNAL, HISTORY, GUESTS, LOCK = "journal.sqlite", "history.sqlite", "guests", "bmigd.lock"
DRAIN_S = 2.0


def load_credentials(config: Config) -> Credentials:
    """The node's certificate, checked; Invalid (CERTIFICATE_INVALID) says what to do."""
    tls = config.tls
    try:
        return load(tls.ca, tls.certificate, tls.key, node=config.node.name, now=datetime.now(UTC))
    except CertificateError as error:
        raise Invalid(
            "CERTIFICATE_INVALID", f"{error.file}: {error.problem}", error.remedy
        ) from error


def make_policy(config: Config) -> Policy:
    """The policy from the configuration's rules."""
    return Policy(
        operators=tuple(
            Rule(rule.names, frozenset(map(Action, rule.allow)), rule.guests)
            for rule in config.operators
        ),
        peers=tuple(
            Rule(rule.names, frozenset(map(Action, rule.allow)), rule.guests)
            for rule in config.peers
        ),
    )


class Daemon:
    """One node. Build, run() until a signal, and it is over."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._credentials = load_credentials(config)
        state_dir = config.node.state_dir
        self._journal = Journal(state_dir / JOURNAL)
        self._lock = Lock(state_dir / LOCK)
        self._history = History(state_dir / HISTORY)
        self._history_thread = ThreadPoolExecutor(1, "history")
        make_directory(config.node.spool_dir, "node.spool_dir")
        make_directory(config.node.run_dir, "node.run_dir")
        # One thread for the journal keeps its writes in order; the others hash, encode and write.
        self._journal_thread = ThreadPoolExecutor(1, "journal")
        self._workers = ThreadPoolExecutor(4, "memory")
        self._node = self._make_node()
        self._ledger = Ledger(self._journal, self._journal_thread)
        self._archive = Archive(self._node.name, self._history, self._history_thread)
        self._migrations = Migrations(
            self._node, self._ledger, self._archive, self._dial, self._workers
        )
        self._destination = Destination(self._node, self._ledger, self._archive, self._workers)
        departures = Departures(self._ledger, self._node.elsewhere)
        self._inventory = Inventory(self._node, self._ledger, departures)

    async def run(self) -> None:
        """Recover, serve until SIGTERM or SIGINT, drain, stop. Guests go on."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await recover(
            *(self._ledger, self._archive, self._migrations, self._destination),
            defined=self._node.store.names(),
        )
        server = self._make_server()
        port = await server.start(self._config.node.listen, self._credentials)
        log.info("serving", node=self._node.name, port=port, version=self._node.version)
        meanwhile = [
            asyncio.create_task(self._destination.keep_leases()),
            asyncio.create_task(self._ledger.keep_short()),
            asyncio.create_task(expiry.tell(self._credentials.expires_at)),
        ]
        await stop.wait()
        log.info("stopping", node=self._node.name)
        for task in meanwhile:
            task.cancel()
        server.announce_end()
        await self._migrations.close()
        await self._destination.close()
        await server.stop(DRAIN_S)
        self._close()
        log.info("stopped", node=self._node.name)

    def _close(self) -> None:
        self._workers.shutdown()
        self._journal_thread.shutdown()
        self._journal.close()
        self._history_thread.shutdown()
        self._history.close()
        self._lock.close()

    def _make_node(self) -> Node:
        config = self._config
        images = Images(config.node.spool_dir, config.migration.keep_memory_mib << 20)
        images.tidy()
        made = {name: make(config) for name, make in DRIVERS.items()}
        return Node(
            config=config,
            version=importlib.metadata.version("bmig"),
            certificate_expires_at_s=int(self._credentials.expires_at.timestamp()),
            policy=make_policy(config),
            drivers={name: driver for name, driver in made.items() if driver is not None},
            store=GuestStore(config.node.state_dir / GUESTS),
            claims=Claims(),
            room=Room(config.node.spool_dir, config.migration.memory_reserve_mib << 20, images),
            announcer=Announcer(config.networks),
            elsewhere=Elsewhere(config.node.name, config.nodes, self._dial),
        )

    def _make_server(self) -> Server:
        access = Access(self._node.policy, self._node.name)
        peer = PeerServicer(self._node, self._destination, access)
        return Server(
            self._credentials.identity.cluster,
            NodeServicer(self._node, self._inventory, access),
            GuestServicer(self._node, self._inventory, access),
            MigrationServicer(self._migrations, self._destination, self._archive, access),
            lambda server: add_to_server(peer, server),
        )

    def _dial(self, name: str) -> Peer:
        address = self._config.nodes.get(name, "")
        return GrpcPeer(name, address, self._credentials, self._config.migration.peer_timeout_s)


def journal_path(config: Config) -> Path:
    """Where the journal is."""
    return config.node.state_dir / JOURNAL
