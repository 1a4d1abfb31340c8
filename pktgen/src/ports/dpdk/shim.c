/* The functions of DPDK that headers alone define, and calls whose structures Rust should not know, for
 * library.rs, which loads this as a shared object when the first DPDK port is opened.
 *
 * A burst is one call: rx, free, alloc and send each take as many mbufs as the caller has room for. Frames are
 * written and read in the mbufs' own data. */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_version.h>

#define EXPORT __attribute__((visibility("default")))

/* library.rs has the same. */
struct vb_frame {
	uint8_t *data;
	uint32_t key;
	uint16_t len;
	uint16_t segments;
};

struct vb_port {
	char driver[32];
	char device[64];
	struct rte_mempool *rx_pool;
	struct rte_mempool *tx_pool;
	uint32_t tx_mbufs;
	uint32_t rx_slots;
	uint32_t tx_slots;
	uint32_t max_frame;
	uint16_t port;
	uint8_t mac[6];
	uint16_t queues;
	uint16_t unused[3];
};

_Static_assert(sizeof(struct vb_frame) == 16, "library.rs counts on it");
_Static_assert(sizeof(struct vb_port) == 144, "library.rs counts on it");

/* Where each mbuf of a transmit pool keeps its number; dynamic fields are left alone by drivers and by free. */
static int key_offset = -1;
/* Ends with a thread: what it was registered as. */
static pthread_key_t registered;

EXPORT const char *vb_version(void)
{
	return rte_version();
}

EXPORT const char *vb_plugin_folder(void)
{
	return RTE_EAL_PMD_PATH;
}

static void unregister(void *unused)
{
	(void)unused;
	rte_thread_unregister();
}

/* Threads that EAL did not make have no mempool caches of their own until they are registered. Without a number
 * left for it a thread goes on, only slower. */
static void __attribute__((cold, noinline)) enter(void)
{
	static __thread bool tried;

	if (tried)
		return;
	tried = true;
	if (rte_thread_register() == 0)
		pthread_setspecific(registered, (void *)1);
}

static inline void entered(void)
{
	if (unlikely(rte_lcore_id() == LCORE_ID_ANY))
		enter();
}

typedef void (*vb_log)(int level, const char *text, size_t len);

static vb_log log_to;

static ssize_t write_log(void *cookie, const char *text, size_t len)
{
	(void)cookie;
	log_to(rte_log_cur_msg_loglevel(), text, len);
	return (ssize_t)len;
}

/* Without secondary processes nothing is ever put there. Of the folder above it, other programs may be users. */
static void remove_runtime_folder(void)
{
	char path[4096];
	char *slash;

	snprintf(path, sizeof(path), "%s", rte_eal_get_runtime_dir());
	rmdir(path);
	slash = strrchr(path, '/');
	if (slash != NULL) {
		*slash = '\0';
		rmdir(path);
	}
}

EXPORT int vb_init(int argc, char **argv, vb_log log)
{
	static const struct rte_mbuf_dynfield key = {
		.name = "vale_bench_key",
		.size = sizeof(uint32_t),
		.align = sizeof(uint32_t),
	};
	FILE *stream;

	log_to = log;
	stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_log });
	if (stream == NULL)
		return -ENOMEM;
	setvbuf(stream, NULL, _IOLBF, BUFSIZ);
	rte_openlog_stream(stream);
	if (pthread_key_create(&registered, unregister) != 0)
		return -ENOMEM;
	if (rte_eal_init(argc, argv) < 0)
		return rte_errno > 0 ? -rte_errno : -EINVAL;
	remove_runtime_folder();
	key_offset = rte_mbuf_dynfield_register(&key);
	return key_offset < 0 ? -rte_errno : 0;
}

/* A virtio device has as many queues as whoever made it wanted to be used; an interface of a host has what it has, and
 * one of them can take what one thread sends. */
static uint16_t queues(const struct rte_eth_dev_info *info)
{
	uint16_t most = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

	if (strncmp(info->driver_name, "net_virtio", strlen("net_virtio")) != 0 || most < 1)
		return 1;
	return most;
}

/* Plugs the device in and finds its port. */
EXPORT int vb_attach(const char *devargs, struct vb_port *out)
{
	struct rte_dev_iterator iterator;
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	uint16_t port, found = RTE_MAX_ETHPORTS;
	int failed = rte_dev_probe(devargs);

	if (failed != 0)
		return failed < 0 ? failed : -EINVAL;
	RTE_ETH_FOREACH_MATCHING_DEV(port, devargs, &iterator) {
		if (found == RTE_MAX_ETHPORTS)
			found = port;
	}
	if (found == RTE_MAX_ETHPORTS)
		return -ENODEV;
	memset(out, 0, sizeof(*out));
	out->port = found;
	failed = rte_eth_dev_info_get(found, &info);
	if (failed != 0)
		return failed;
	out->queues = queues(&info);
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	snprintf(out->device, sizeof(out->device), "%s", rte_dev_name(info.device));
	failed = rte_eth_macaddr_get(found, &mac);
	if (failed != 0)
		return failed;
	memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	return 0;
}

static void number(struct rte_mempool *pool, void *arg, void *obj, unsigned int index)
{
	(void)pool;
	(void)arg;
	*RTE_MBUF_DYNFIELD((struct rte_mbuf *)obj, key_offset, uint32_t *) = index;
}

static struct rte_mempool *pool(uint16_t port, const char *kind, uint32_t mbufs, int socket)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "vb_%s_%u", kind, port);
	return rte_pktmbuf_pool_create(name, mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
}

/* Configures and starts the port with its queues in each direction. `slots` is how long rings should be. */
EXPORT int vb_start(struct vb_port *p, uint32_t slots, const char **operation)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	uint16_t rx = (uint16_t)slots, tx = (uint16_t)slots, mtu = 0, queue;
	int socket = rte_eth_dev_socket_id(p->port);
	int failed;

	*operation = "describe";
	failed = rte_eth_dev_info_get(p->port, &info);
	if (failed != 0)
		return failed;
	if (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	*operation = "configure";
	failed = rte_eth_dev_configure(p->port, p->queues, p->queues, &conf);
	if (failed != 0)
		return failed;
	failed = rte_eth_dev_adjust_nb_rx_tx_desc(p->port, &rx, &tx);
	if (failed != 0)
		return failed;
	*operation = "find memory for the frames of";
	/* What rings hold, what is in hands and caches, and a ring's worth more. */
	p->tx_mbufs = (p->queues + 1u) * tx + 2048;
	p->rx_pool = pool(p->port, "rx", (p->queues + 1u) * rx + 2048, socket);
	p->tx_pool = pool(p->port, "tx", p->tx_mbufs, socket);
	if (p->rx_pool == NULL || p->tx_pool == NULL)
		return -rte_errno;
	rte_mempool_obj_iter(p->tx_pool, number, NULL);
	*operation = "set up the queues of";
	for (queue = 0; queue < p->queues; queue++) {
		failed = rte_eth_rx_queue_setup(p->port, queue, rx, socket, NULL, p->rx_pool);
		if (failed == 0)
			failed = rte_eth_tx_queue_setup(p->port, queue, tx, socket, NULL);
		if (failed != 0)
			return failed;
	}
	*operation = "start";
	failed = rte_eth_dev_start(p->port);
	if (failed != 0)
		return failed;
	/* A port without the notion takes every frame already. */
	failed = rte_eth_promiscuous_enable(p->port);
	if (failed != 0 && failed != -ENOTSUP) {
		*operation = "make promiscuous";
		return failed;
	}
	/* Drivers may make rings shorter than asked for, and not say so. A receive ring is filled with mbufs. */
	p->rx_slots = RTE_MIN(rte_mempool_in_use_count(p->rx_pool) / p->queues, rx);
	p->tx_slots = RTE_MIN(tx, p->rx_slots);
	if (rte_eth_dev_get_mtu(p->port, &mtu) != 0 || mtu == 0)
		mtu = RTE_ETHER_MTU;
	p->max_frame = RTE_MIN(mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN,
			       rte_pktmbuf_data_room_size(p->tx_pool) - RTE_PKTMBUF_HEADROOM);
	return 0;
}

/* 1 if the link is up. */
EXPORT int vb_link(uint16_t port)
{
	struct rte_eth_link link = { 0 };
	int failed = rte_eth_link_get_nowait(port, &link);

	return failed != 0 ? failed : link.link_status;
}

/* Stops and unplugs the port, started or not. */
EXPORT int vb_detach(struct vb_port *p)
{
	struct rte_eth_dev_info info;
	int failed = rte_eth_dev_info_get(p->port, &info);

	if (failed != 0)
		return failed;
	rte_eth_dev_stop(p->port);
	rte_eth_dev_close(p->port);
	failed = rte_dev_remove(info.device);
	rte_mempool_free(p->rx_pool);
	rte_mempool_free(p->tx_pool);
	p->rx_pool = p->tx_pool = NULL;
	return failed;
}

/* Receives up to `max` packets and describes the first segment of each. */
EXPORT uint16_t vb_rx(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, struct vb_frame *frames, uint16_t max)
{
	uint16_t n, i;

	entered();
	n = rte_eth_rx_burst(port, queue, mbufs, max);
	for (i = 0; i < n; i++) {
		frames[i].data = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
		rte_prefetch0(frames[i].data);
		frames[i].len = mbufs[i]->data_len;
		frames[i].segments = mbufs[i]->nb_segs;
	}
	return n;
}

/* Describes the segment after `mbuf`, and returns it; NULL after the last. */
EXPORT struct rte_mbuf *vb_next_segment(struct rte_mbuf *mbuf, struct vb_frame *frame)
{
	struct rte_mbuf *next = mbuf->next;

	if (next != NULL) {
		frame->data = rte_pktmbuf_mtod(next, uint8_t *);
		frame->len = next->data_len;
	}
	return next;
}

EXPORT void vb_free(struct rte_mbuf **mbufs, uint16_t n)
{
	entered();
	rte_pktmbuf_free_bulk(mbufs, n);
}

/* Takes `n` empty mbufs, or none. */
EXPORT uint16_t vb_alloc(struct rte_mempool *pool, struct rte_mbuf **mbufs, struct vb_frame *frames, uint16_t n)
{
	uint16_t i;

	entered();
	if (rte_pktmbuf_alloc_bulk(pool, mbufs, n) != 0)
		return 0;
	for (i = 0; i < n; i++) {
		frames[i].data = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
		frames[i].key = *RTE_MBUF_DYNFIELD(mbufs[i], key_offset, uint32_t *);
	}
	return n;
}

/* Sends packets whose lengths stand in `frames`; returns how many the ring took. */
EXPORT uint16_t vb_tx(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, const struct vb_frame *frames, uint16_t n)
{
	uint16_t i;

	entered();
	for (i = 0; i < n; i++) {
		mbufs[i]->data_len = frames[i].len;
		mbufs[i]->pkt_len = frames[i].len;
	}
	return rte_eth_tx_burst(port, queue, mbufs, n);
}

/* How many of the last `slots` descriptors the device has not finished with; a negative number where the driver
 * cannot say. */
EXPORT int vb_tx_pending(uint16_t port, uint16_t queue, uint32_t slots)
{
	uint32_t offset, pending = 0;

	for (offset = 0; offset < slots; offset++) {
		int status = rte_eth_tx_descriptor_status(port, queue, (uint16_t)offset);

		if (status < 0)
			return status;
		pending += status == RTE_ETH_TX_DESC_FULL;
	}
	return (int)pending;
}
