/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_tvq

#if !defined(_VIRTIO_TVQ_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VIRTIO_TVQ_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>
#include <uapi/linux/virtio_tvq.h>

#ifndef TVQ_CMD
#define TVQ_CMD(class, command) ((class) << 16 | (command))
#endif

#define show_tvq_command(class, command)				\
	__print_symbolic(TVQ_CMD(class, command),			\
		{ TVQ_CMD(0, 0), "NOP" },				\
		{ TVQ_CMD(0, 1), "LIMITS" },				\
		{ TVQ_CMD(0, 2), "LIST" },				\
		{ TVQ_CMD(0, 3), "CREATE" },				\
		{ TVQ_CMD(0, 4), "DESTROY" },				\
		{ TVQ_CMD(1, 0), "DESCRIBE" },				\
		{ TVQ_CMD(1, 1), "NEGOTIATE" },				\
		{ TVQ_CMD(1, 2), "SET_STATUS" },			\
		{ TVQ_CMD(1, 3), "GET_STATUS" },			\
		{ TVQ_CMD(1, 4), "RESET" },				\
		{ TVQ_CMD(1, 5), "GET_CONFIG" },			\
		{ TVQ_CMD(1, 6), "SET_CONFIG" },			\
		{ TVQ_CMD(1, 7), "GET_SHM" },			\
		{ TVQ_CMD(2, 0), "SETUP_VQS" },				\
		{ TVQ_CMD(2, 1), "RESET_VQ" },				\
		{ TVQ_CMD(2, 2), "NOTIFY" },				\
		{ TVQ_CMD(3, 0), "MSI_SET" },				\
		{ TVQ_CMD(3, 1), "MSI_GET" })

TRACE_EVENT(tvq_cmd_post,
	TP_PROTO(const struct device *dev, u64 device_id, u16 class,
		 u16 command, size_t out_len, size_t in_len, bool wait),
	TP_ARGS(dev, device_id, class, command, out_len, in_len, wait),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u64, device_id)
		__field(u16, class)
		__field(u16, command)
		__field(u32, out_len)
		__field(u32, in_len)
		__field(bool, wait)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->device_id = device_id;
		__entry->class = class;
		__entry->command = command;
		__entry->out_len = out_len;
		__entry->in_len = in_len;
		__entry->wait = wait;
	),
	TP_printk("%s device_id=%llu class=%u command=%u (%s) out=%u in=%u%s",
		  __get_str(dev), __entry->device_id, __entry->class,
		  __entry->command,
		  show_tvq_command(__entry->class, __entry->command),
		  __entry->out_len, __entry->in_len,
		  __entry->wait ? "" : " posted")
);

TRACE_EVENT(tvq_cmd_done,
	TP_PROTO(const struct device *dev, u64 device_id, u16 class,
		 u16 command, int err, u32 used, u32 ack, u64 latency_ns),
	TP_ARGS(dev, device_id, class, command, err, used, ack, latency_ns),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u64, device_id)
		__field(u16, class)
		__field(u16, command)
		__field(int, err)
		__field(u32, used)
		__field(u32, ack)
		__field(u64, latency_ns)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->device_id = device_id;
		__entry->class = class;
		__entry->command = command;
		__entry->err = err;
		__entry->used = used;
		__entry->ack = ack;
		__entry->latency_ns = latency_ns;
	),
	TP_printk("%s device_id=%llu class=%u command=%u (%s) err=%d used=%u ack=%u latency=%lluns",
		  __get_str(dev), __entry->device_id, __entry->class,
		  __entry->command,
		  show_tvq_command(__entry->class, __entry->command),
		  __entry->err, __entry->used, __entry->ack,
		  __entry->latency_ns)
);

#define show_tvq_admin_opcode(opcode)					\
	__print_symbolic(opcode,					\
		{ 0x0, "LIST_QUERY" },					\
		{ 0x1, "LIST_USE" },					\
		{ 0x7, "CAP_ID_LIST_QUERY" },				\
		{ 0x8, "DEVICE_CAP_GET" },				\
		{ 0x9, "DRIVER_CAP_SET" },				\
		{ 0xa, "RESOURCE_OBJ_CREATE" },				\
		{ 0xb, "RESOURCE_OBJ_MODIFY" },				\
		{ 0xc, "RESOURCE_OBJ_QUERY" },				\
		{ 0xd, "RESOURCE_OBJ_DESTROY" },			\
		{ 0xe, "DEV_PARTS_METADATA_GET" },			\
		{ 0xf, "DEV_PARTS_GET" },				\
		{ 0x10, "DEV_PARTS_SET" },				\
		{ 0x11, "DEV_MODE_SET" },				\
		{ 0x7f00, "MEMBER_GET" },				\
		{ 0x7f01, "MEMBER_SET" })

TRACE_EVENT(tvq_admin_post,
	TP_PROTO(const struct device *dev, unsigned int queue, u16 group,
		 u64 member, u16 opcode, size_t out_len, size_t in_len),
	TP_ARGS(dev, queue, group, member, opcode, out_len, in_len),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u64, member)
		__field(u32, queue)
		__field(u32, out_len)
		__field(u32, in_len)
		__field(u16, group)
		__field(u16, opcode)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->member = member;
		__entry->queue = queue;
		__entry->out_len = out_len;
		__entry->in_len = in_len;
		__entry->group = group;
		__entry->opcode = opcode;
	),
	TP_printk("%s queue=%u group=%#x member=%llu opcode=%#x (%s) out=%u in=%u",
		  __get_str(dev), __entry->queue, __entry->group,
		  __entry->member, __entry->opcode,
		  show_tvq_admin_opcode(__entry->opcode), __entry->out_len,
		  __entry->in_len)
);

TRACE_EVENT(tvq_admin_done,
	TP_PROTO(const struct device *dev, unsigned int queue, u16 group,
		 u64 member, u16 opcode, int err, u32 used, u32 status,
		 u32 qualifier, u64 latency_ns),
	TP_ARGS(dev, queue, group, member, opcode, err, used, status, qualifier,
		latency_ns),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u64, member)
		__field(u64, latency_ns)
		__field(u32, queue)
		__field(int, err)
		__field(u32, used)
		__field(u32, status)
		__field(u32, qualifier)
		__field(u16, group)
		__field(u16, opcode)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->member = member;
		__entry->latency_ns = latency_ns;
		__entry->queue = queue;
		__entry->err = err;
		__entry->used = used;
		__entry->status = status;
		__entry->qualifier = qualifier;
		__entry->group = group;
		__entry->opcode = opcode;
	),
	TP_printk("%s queue=%u group=%#x member=%llu opcode=%#x (%s) err=%d used=%u status=%u qualifier=%u latency=%lluns",
		  __get_str(dev), __entry->queue, __entry->group,
		  __entry->member, __entry->opcode,
		  show_tvq_admin_opcode(__entry->opcode), __entry->err,
		  __entry->used, __entry->status, __entry->qualifier,
		  __entry->latency_ns)
);

#endif /* _VIRTIO_TVQ_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
